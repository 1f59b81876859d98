"""All that only torch needs: `ways` says which way a tensor takes, `state` what torch is doing now.

`tied` is the one autograd Function; `functions` are the definition's with their derivatives; `short`, `cpu`, `gpu`,
`float64`, `compiled` and `differentiable` are the ways of a loss; `linear` and `linear_compiled` those of a layer.
"""
