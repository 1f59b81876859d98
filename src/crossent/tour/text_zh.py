"""The tour in Simplified Chinese."""

from __future__ import annotations

__all__ = ["TEXT"]

TEXT = {
    "tour": "一步一步认识 softmax 与交叉熵",
    "intro": "下面的每个数字都是此刻现算的。两列运行的是同一段代码，只有导入语句不同：",
    "result": "结果",
    "only": "仅 {library}：",
    "warns": "{library} 发出警告：{message}",
    "rule": "{rule} {title}：crossent check --explain {rule}",
    "rule.X001": "在交叉熵之前做了 softmax",
    "rule.X019": "手写的 log(softmax(x))",
    "rule.X021": "softmax 没有先减去最大值",
    "rule.X028": "先 sigmoid，再用概率的二元交叉熵",
    "prints": "{library} 打印：",
    "class": "类别",
    "sample": "样本",
    "epoch": "轮次",
    "no_torch": "没有安装 PyTorch，因此缺少它那一列；安装附加组件 crossent[torch] 即可",
    "end": "下一步：crossent train digits",
    # ------------------------------------------------------------------
    "softmax": "softmax：把得分变成概率",
    "formula.title": "公式",
    "formula.idea": "softmax 对每个得分取指数，再除以它们的总和：p_i = exp(x_i) / sum(exp(x))。",
    "formula.note": "结果都是正数，总和为 1；得分最高的，概率也最大。",
    "axis.title": "沿哪个轴？",
    "axis.idea": "沿着总和应当为 1 的那个轴，也就是类别轴。crossent 默认取最后一个轴；PyTorch 要求用 dim 指明。",
    "axis.note": "轴选错了并不会报错，只是每一行的和（wrong_sums）不再是 1。",
    # ------------------------------------------------------------------
    "probabilities": "交叉熵：概率错得有多离谱？",
    "one_hot.title": "按公式计算，目标是独热编码",
    "one_hot.idea": "用独热编码乘以概率的对数，求和，再取负号：loss = -sum(Y * log(p))。数值越低越好。",
    "one_hot.note": "真正起作用的只有正确类别的概率：-log(0.7) 和 -log(0.1)。",
    "nll.title": "改用类别索引",
    "nll.idea": (
        "独热编码不过是从中挑出一个对数，所以有正确类别的索引就够了。手里是概率时，先取对数，再交给 nll_loss"
        "（负对数似然损失）。"
    ),
    "nll.note": "得到同样的两个损失，却省去了一串零和那些乘法。",
    # ------------------------------------------------------------------
    "logits": "直接从原始得分（logits）计算交叉熵",
    "one_sample.title": "一个样本",
    "one_sample.idea": "cross_entropy 接收网络的原始得分和正确类别的索引。它内部已经包含 softmax，前面不要再加一层。",
    "one_sample.note": "得分的形状是 样本数 x 类别数，这里是 1 x 3；目标则是每个样本一个索引。",
    "two_halves.title": "里面有什么",
    "two_halves.idea": "cross_entropy 就是先做 log_softmax，再做 nll_loss；PyTorch 的 CrossEntropyLoss 也是如此。",
    "two_halves.note": "一步到位比分两步更好：中间不会出现可能被舍入成 0 的概率。",
    "one_prediction.title": "预测",
    "one_prediction.idea": "预测的类别就是最高得分所在的索引，找它并不需要 softmax。",
    "one_prediction.note": "两次的最高得分都是 2.0，但只有第一次落在正确的类别 0 上。",
    "torch_max.title": "用 torch.max 做预测",
    "torch_max.idea": (
        "torch.max(x, 1) 一次给出两样东西：沿维度 1，每一行的最高得分（values）和它的位置（indices）。可以整个打印，"
        "也可以拆成两个变量。"
    ),
    "torch_max.note": "values 是得分，不是概率；indices 就是预测的类别。",
    # ------------------------------------------------------------------
    "samples": "多个样本，以及如何合并它们的损失",
    "mean.title": "三个样本：取平均",
    "mean.idea": "有多个样本时，默认取各个样本损失的平均值。",
    "mean.note": "在差的那组预测里，前两个样本都指向了错误的类别。",
    "predictions.title": "三个预测",
    "predictions.idea": "每一行的最高得分、它的索引，以及 softmax 给它的概率。",
    "predictions.note": "第一组把 2、0、1 全部预测对了，第二组只对了最后一个。",
    "sum.title": 'reduction="sum"',
    "sum.idea": "把各个损失加起来，不除以个数。",
    "sum.note": "正好是平均值的三倍。",
    "none.title": 'reduction="none"',
    "none.idea": "每个样本各给一个损失，可以看出代价高的是哪个样本。",
    "none.note": "两组都预测对的那个样本，损失也相同：0.1044。",
    # ------------------------------------------------------------------
    "networks": "两个以 logits 结尾的网络",
    "multiclass.title": "多分类",
    "multiclass.idea": (
        "线性层、ReLU、线性层，最后不加 softmax，因为损失函数里已经有了。四张 28 x 28 的图像前向传播，梯度再"
        "反向传回来；PyTorch 用自动求导完成的事，NumPy 这边用手工完成。"
    ),
    "multiclass.note": (
        "每一行对 logits 的梯度是 p - q，所以 b2_grad 的总和为 0：一个类别得到的，正是其他类别失去的。"
    ),
    "sigmoid.title": "二分类：sigmoid 加 BCELoss",
    "sigmoid.idea": (
        "两个类别只要一个输出：sigmoid 把它变成类别 1 的概率 p，BCELoss 就是 (p, 1 - p) 的交叉熵："
        "-(y * log(p) + (1 - y) * log(1 - p))，再取平均。"
    ),
    "sigmoid.note": "通常就是这样写的；只要 p 没有被舍入成 0 或 1，结果就是对的。",
    "binary.title": "二分类，只需一个 logit",
    "binary.idea": (
        "从 logit 本身得到同样的损失：sigmoid 就是 (logit, 0) 的 softmax，BCEWithLogitsLoss 内部已经包含它。"
        "网络把 logit 交给损失函数，需要概率时再另外取。"
    ),
    "binary.note": "训练时把 logit 交给 BCEWithLogitsLoss；sigmoid 加 BCELoss 会丢掉什么，见最后一章。",
    # ------------------------------------------------------------------
    "training": "训练：损失不断下降",
    "learn.title": "多分类：手写数字 0、1、2",
    "learn.idea": ("前向传播、损失、反向传播，然后由优化器逆着梯度走一步；在九十张真实的 8 x 8 图像上重复三十轮。"),
    "learn.note": "损失一轮比一轮低；九十张图像现在几乎全部认对了。",
    "learn_binary.title": "二分类：是不是 1？",
    "learn_binary.idea": (
        "同样的循环，只用一个 logit 和 BCEWithLogitsLoss。logit 大于 0，概率就大于二分之一，即类别 1。"
    ),
    "learn_binary.note": "训练不需要 sigmoid，做判断也不需要。",
    # ------------------------------------------------------------------
    "pitfalls": "常见的坑",
    "floor.title": "在交叉熵之前加 softmax：损失降不下去",
    "floor.idea": (
        "多做一次 softmax，会把所有得分压进 0 到 1 之间。网络再有把握、再正确，损失也无法低于 log(e + C - 1) - 1。"
    ),
    "floor.note": "程序不会报错，只是训练停滞不前：请把原始得分直接交给 cross_entropy。",
    "vanishing.title": "在交叉熵之前加 softmax：梯度消失",
    "vanishing.idea": "网络既有把握又判断错误（错误类别的得分高出 10）时，本该得到最大的修正。",
    "vanishing.note": (
        "多做一次 softmax 之后，修正量小了一万多倍。（两列的末位不同，是因为 PyTorch 默认用 float32 计算。）"
    ),
    "log_zero.title": "对 0 取对数",
    "log_zero.idea": (
        "概率可能被舍入成 0，而 log(0) 是 -inf，损失就成了无穷大。即使预测完全正确，按公式算也不行：0 * "
        "log(0) 不是一个数（nan）。"
    ),
    "log_zero.note": "直接从得分计算，损失就是两个得分之差 1000；使用索引则不会拿任何数去乘 0。",
    "overflow.title": "直接套公式会溢出",
    "overflow.idea": (
        "exp(x) 在 float64 中超过 x = 709.8、在 float32 中超过 88.7 就会溢出，而 inf / inf 不是一个数（nan）。"
    ),
    "overflow.note": "所有得分同时平移，softmax 不变，因此 crossent 会先减去最高的得分。",
    "index.title": "索引还是独热编码？",
    "index.idea": "损失完全一样。索引每个样本只占一个整数，独热编码则要为每个类别都存一个数。",
    "index.note": "最后一行是三个样本、1000 个类别的情形。只有软标签（如 [0.9 0.1 0.0]）才真正需要这种写法。",
    "saturation.title": "先 sigmoid，再 BCELoss",
    "saturation.idea": (
        "logit 为 20 时，sigmoid 在 float32 中被舍入成 1。目标若是 0，就要算 log(0)，BCELoss 把它截断在 "
        "-100，而 sigmoid 在这里又是平的。"
    ),
    "saturation.note": "损失本该是 20，却成了 100；梯度则是 0：错得最厉害的样本，反而什么也教不了网络。",
    "with_logits.title": "使用带 logits 的 BCE",
    "with_logits.idea": "直接从 logit 计算，什么都不会丢。它就是 (0, logit) 这两个得分的交叉熵。",
    "with_logits.note": "损失 20，梯度 1，与数学推导一致。",
}
