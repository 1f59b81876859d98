"""Tensor operations that keep what a value is: of softmax's output, chunks, columns and copies are probabilities.

Torch's part was made by running each of torch's own operators on sample inputs and keeping those whose every output
element is an element of the input (tests/test_shapes.py does so again), then reviewed: order statistics (max, sort,
median) and pooling are left out, for what they give is no whole row. NumPy's, JAX's, TensorFlow's, Keras' and einops'
names follow.
"""

from __future__ import annotations

__all__ = ["KINDS", "kind_of"]

# The same numbers: in the same places, in another layout or type.
SAME = """
clone contiguous detach to type type_as cpu cuda xpu double float half bfloat16 alias alias_copy conj conj_physical
resolve_conj resolve_neg positive real numpy requires_grad_ retain_grad pin_memory detach_ detach_copy lift_fresh
_to_copy copy data share_memory_ share_memory to_dense
identity stop_gradient convert_to_tensor ensure_shape cast asarray asanyarray ascontiguousarray array device_put
convert_to_numpy copy_to_host checkpoint_name with_sharding_constraint block_until_ready astype as_tensor numpy_function
"""
LAYOUT = """
view view_as view_copy reshape reshape_as flatten ravel squeeze squeeze_copy unsqueeze unsqueeze_copy transpose
transpose_copy t t_copy T H mT mH adjoint matrix_H numpy_T permute permute_copy movedim moveaxis swapaxes swapdims
unflatten expand expand_as expand_copy broadcast_to broadcast_tensors repeat tile repeat_interleave atleast_1d
atleast_2d atleast_3d flip fliplr flipud roll rot90 unfold unfold_copy resize resize_ resize_as resize_as_ as_strided
as_strided_copy channel_shuffle pixel_shuffle pixel_unshuffle native_channel_shuffle fft.fftshift fft.ifftshift
fftshift ifftshift meshgrid msort
expand_dims rollaxis reverse squeeze_dims rearrange permute_dims matrix_transpose resize_images newaxis
"""
ROWS = """
select select_copy index_select narrow narrow_copy slice slice_copy take_along_dim masked_select index take_along_axis
embedding boolean_mask strided_slice compress extract gather_nd dynamic_slice delete trim_zeros
unique_consecutive index_in_dim slice_in_dim
"""
PIECES = """
chunk split split_with_sizes split_with_sizes_copy unsafe_chunk unsafe_split unbind unbind_copy tensor_split hsplit
vsplit dsplit array_split unstack
"""
JOINED = """
cat concat concatenate stack hstack vstack dstack column_stack row_stack append pack
"""
ELEMENTS = """
gather take diagonal diagonal_copy diag linalg.diagonal linalg_diagonal choose diag_part trace
"""
TOUCHED = """
masked_fill masked_fill_ masked_scatter index_fill index_fill_ index_put index_put_ index_copy scatter scatter_ where
tril triu pad constant_pad_nd select_scatter slice_scatter diagonal_scatter as_strided_scatter dropout dropout1d
dropout2d dropout3d alpha_dropout feature_alpha_dropout interpolate upsample upsample_nearest upsample_bilinear
fill_diagonal_ zero_pad put put_ copyto nan_to_num dropout_ grid_sample
"""

KINDS: dict[str, str] = {
    name: kind
    for kind, names in (
        ("same", SAME), ("layout", LAYOUT), ("rows", ROWS), ("pieces", PIECES), ("joined", JOINED),
        ("elements", ELEMENTS), ("touched", TOUCHED),
    )
    for name in names.split()
}  # fmt: skip


def kind_of(name: str) -> str | None:
    """What an operation does to a value that it keeps; None for those that make something new of it."""
    return KINDS.get(name) or (KINDS.get(name[:-1]) if name.endswith("_") and not name.endswith("__") else None)
