"""A fused softmax in Triton, in the shape of its tutorial: one program a row, `softmax(x)` on a tensor.

    python -m harness run triton_softmax.py:softmax --via torch@cuda --format float32 --format float16

Without a GPU, `--via torch` and TRITON_INTERPRET=1 run this kernel in Triton's interpreter; without
Triton, or its interpreter, the same steps run in PyTorch.
"""

import torch

try:
    import triton
    import triton.language as tl
except ImportError:
    triton = None

if triton is not None:

    @triton.jit
    def _row(y, x, stride, n, BLOCK: tl.constexpr):
        row, columns = tl.program_id(0), tl.arange(0, BLOCK)
        values = tl.load(x + row * stride + columns, mask=columns < n, other=-float("inf")).to(tl.float32)
        numerator = tl.exp(values - tl.max(values, axis=0))
        result = numerator / tl.sum(numerator, axis=0)
        tl.store(y + row * stride + columns, result.to(y.dtype.element_ty), mask=columns < n)


INTERPRETED = triton is not None and not isinstance(_row, triton.runtime.JITFunction)


def softmax(x):
    """Return the softmax of the rows of a tensor, computed in float32."""
    if triton is None or not (x.is_cuda or INTERPRETED):
        wide = x.float()
        numerator = torch.exp(wide - wide.max(dim=-1, keepdim=True).values)
        return (numerator / numerator.sum(dim=-1, keepdim=True)).to(x.dtype)
    rows = x.contiguous().view(-1, x.shape[-1])
    y = torch.empty_like(rows)
    n = rows.shape[-1]
    _row[(rows.shape[0],)](y, rows, rows.stride(0), n, BLOCK=triton.next_power_of_2(n))
    return y.view(x.shape)


softmax.formats = ["float16", "bfloat16", "float32"]
