"""Seven or ten weighted sums over points at once, kept in registers.

What the moments of a mixture of Gaussians are added up in: three colours have ten moments of order
two and below, colours and place have three times seven. Arrays are flat, float32 and contiguous;
indices count elements and are trusted.
"""
# ruff: noqa: E501, ARG001  the next line is one directive; numba calls generators with fixed arguments
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

from segserve.ops.classical.points_kernel import POINTS, address_of, call_float, points

LANES = 8
"""Parts that a sum is kept in: points are folded into as many."""
_WORD = ir.IntType(32)
_PART = ir.VectorType(ir.FloatType(), LANES)


def _part(builder, value, first):
    order = ir.Constant(ir.VectorType(_WORD, LANES), list(range(first, first + LANES)))
    return builder.shuffle_vector(value, value, order)


class Sums(types.Type):
    """Some sums in eight parts each; ten are as many registers as leave room for 32 points."""

    def __init__(self, count):
        super().__init__(name=f"Sums{count}")
        self.count = count


def _held(count):
    return ir.ArrayType(_PART, count)


@register_model(Sums)
class _SumsModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, _held(kind.count))


def _none(context, builder, signature, args):
    count = signature.return_type.count
    return ir.Constant(_held(count), [ir.Constant(_PART, [0.0] * LANES)] * count)


@intrinsic
def seven_sums(typingctx):
    """Give seven sums of nothing."""
    return Sums(7)(), _none


@intrinsic
def ten_sums(typingctx):
    """Give ten sums of nothing."""
    return Sums(10)(), _none


@intrinsic
def add_rows(typingctx, sums, weights, array, index, stride):
    """Add 32 elements of a row for each sum, `stride` apart, each times its weight, to the sums."""

    def generate(context, builder, signature, args):
        result, weights, array, index, stride = args
        for row in range(signature.args[0].count):
            held = builder.extract_value(result, row)
            for first in range(0, POINTS, LANES):
                at = builder.add(index, index.type(first))
                address = address_of(context, builder, signature.args[2], array, at, _PART)
                values = builder.load(address, align=4)
                held = call_float(builder, "llvm.fma", _part(builder, weights, first), values, held)
            result = builder.insert_value(result, held, row)
            index = builder.add(index, stride)
        return result

    return sums(sums, points, array, types.intp, types.intp), generate


@intrinsic
def add_sums(typingctx, array, index, sums):
    """Add sums to what lies at `index`, eight parts of each sum one after the other."""

    def generate(context, builder, signature, args):
        for row in range(signature.args[2].count):
            at = builder.add(args[1], args[1].type(row * LANES))
            address = address_of(context, builder, signature.args[0], args[0], at, _PART)
            more = builder.fadd(builder.load(address, align=4), builder.extract_value(args[2], row))
            builder.store(more, address, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, sums), generate
