"""Thirty-two points at a time: what the compiled loops of clustering are written in.

LLVM splits a vector of 32 float32 into as many registers as the machine needs; that many in turn
hide each other's latency, and what is common to all points is read once for them. The intrinsics
write LLVM's vector instructions because numba's own loops do not become them (it cannot rule out
that arrays overlap, nor reorder sums). Arrays are flat and contiguous; indices count elements and
are trusted.
"""
# ruff: noqa: E501, ARG001  the next line is one directive; numba calls generators with fixed arguments
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

POINTS = 32
_FEW = 8
_SINGLE = ir.FloatType()
_WORD = ir.IntType(32)
_VECTOR = ir.VectorType(_SINGLE, POINTS)
_WORDS = ir.VectorType(_WORD, POINTS)


class Points(types.Type):
    """A float32 value of each of 32 points."""

    def __init__(self):
        super().__init__(name="Points32")


points = Points()


@register_model(Points)
class _PointsModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, _VECTOR)


def address_of(context, builder, array_type, array, index, kind):
    """Give where an element is, as a pointer to a vector that begins there."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())


def _constant(value):
    return ir.Constant(_VECTOR, [float(value)] * POINTS)


def _whole(value):
    return ir.Constant(_WORDS, [value] * POINTS)


def _words(values):
    order = list(values)
    return ir.Constant(ir.VectorType(_WORD, len(order)), order)


def _spread(builder, value):
    first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, _WORD(0))
    return builder.shuffle_vector(first, first, ir.Constant(_WORDS, [0] * POINTS))


def call_float(builder, name, *args):
    """Call an intrinsic of LLVM that takes float32 vectors and gives one."""
    kind = args[0].type
    signature = ir.FunctionType(kind, [kind] * len(args))
    full = f"{name}.v{kind.count}f32"
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, full), args)


def _any(builder, flags):
    """Say whether one of the points' flags is set."""
    bits = ir.IntType(flags.type.count)
    return builder.icmp_unsigned("!=", builder.bitcast(flags, bits), bits(0))


@intrinsic
def load(typingctx, array, index):
    """Read the values of 32 points from `index` on."""

    def generate(context, builder, signature, args):
        address = address_of(context, builder, signature.args[0], *args, _VECTOR)
        return builder.load(address, align=4)

    return points(array, types.intp), generate


@intrinsic
def store(typingctx, array, index, value):
    """Write the values of 32 points from `index` on."""

    def generate(context, builder, signature, args):
        address = address_of(context, builder, signature.args[0], args[0], args[1], _VECTOR)
        builder.store(args[2], address, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, points), generate


@intrinsic
def store_whole(typingctx, array, index, value):
    """Write whole numbers to an int32 array from `index` on."""

    def generate(context, builder, signature, args):
        address = address_of(context, builder, signature.args[0], args[0], args[1], _WORDS)
        builder.store(builder.fptosi(args[2], _WORDS), address, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, points), generate


@intrinsic
def differs(typingctx, array, index, value):
    """Say whether an int32 array holds other whole numbers from `index` on."""

    def generate(context, builder, signature, args):
        address = address_of(context, builder, signature.args[0], args[0], args[1], _WORDS)
        held = builder.load(address, align=4)
        return _any(builder, builder.icmp_signed("!=", held, builder.fptosi(args[2], _WORDS)))

    return types.boolean(array, types.intp, points), generate


@intrinsic
def spread(typingctx, value):
    """Give a scalar for all points."""

    def generate(context, builder, signature, args):
        return _spread(builder, args[0])

    return points(types.float32), generate


@intrinsic
def shared(typingctx, array, index):
    """Read one element for all points."""

    def generate(context, builder, signature, args):
        address = address_of(context, builder, signature.args[0], *args, _SINGLE)
        return _spread(builder, builder.load(address, align=4))

    return points(array, types.intp), generate


def _binary(name, emit):
    @intrinsic
    def operation(typingctx, a, b):
        def generate(context, builder, signature, args):
            return emit(builder, *args)

        return points(points, points), generate

    operation.__name__ = name
    return operation


def _smaller(builder, a, b):
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)


add = _binary("add", lambda builder, a, b: builder.fadd(a, b))
sub = _binary("sub", lambda builder, a, b: builder.fsub(a, b))
mul = _binary("mul", lambda builder, a, b: builder.fmul(a, b))
div = _binary("div", lambda builder, a, b: builder.fdiv(a, b))
smaller = _binary("smaller", _smaller)


@intrinsic
def fma(typingctx, a, b, c):
    """Give a * b + c."""

    def generate(context, builder, signature, args):
        return call_float(builder, "llvm.fma", *args)

    return points(points, points, points), generate


@intrinsic
def if_less(typingctx, a, b, then, other):
    """Give `then` for the points whose a < b, `other` for the rest."""

    def generate(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered("<", args[0], args[1]), args[2], args[3])

    return points(points, points, points, points), generate


@intrinsic
def any_above(typingctx, a, limit):
    """Say whether a point's value is above a limit."""

    def generate(context, builder, signature, args):
        value, count = args[0], POINTS
        while count > _FEW:  # the largest of some, side by side: one comparison for all
            count //= 2
            low, high = (_words(range(at, at + count)) for at in (0, count))
            one = builder.shuffle_vector(value, value, low)
            other = builder.shuffle_vector(value, value, high)
            value = builder.select(builder.fcmp_ordered(">", one, other), one, other)
        first = builder.insert_element(ir.Constant(value.type, ir.Undefined), args[1], _WORD(0))
        limit = builder.shuffle_vector(first, first, _words([0] * _FEW))
        return _any(builder, builder.fcmp_ordered(">", value, limit))

    return types.boolean(points, types.float32), generate


@intrinsic
def total(typingctx, a):
    """Give the sum over the points, added pairwise."""

    def generate(context, builder, signature, args):
        value = args[0]
        distance = POINTS
        while distance > 1:
            distance //= 2
            order = [(i + distance) % POINTS for i in range(POINTS)]
            turned = builder.shuffle_vector(value, value, ir.Constant(_WORDS, order))
            value = builder.fadd(value, turned)
        return builder.extract_element(value, _WORD(0))

    return types.float32(points), generate


# 2**x = 2**n * 2**f with n whole and |f| <= 1/2; coefficients of the polynomial in f that is at
# most 3e-6 of 2**f off: fitted to the largest relative error.
_LOWEST = -125.0
_EXP2 = (9.58285e-3, 5.590642e-2, 2.4024099e-1, 6.9312419e-1, 1.0)
_ROUNDING = 1.5 * 2**23
"""Added to a small number, it leaves the nearest whole one in the lowest bits."""
_MANTISSA_BITS, _BIAS = 23, 127
_MANTISSA, _ONE = (1 << _MANTISSA_BITS) - 1, _BIAS << _MANTISSA_BITS


@intrinsic
def exp2(typingctx, a):
    """Give 2**a, a <= 0; below -125 as at -125."""

    def generate(context, builder, signature, args):
        low = builder.fcmp_ordered(">", args[0], _constant(_LOWEST))
        x = builder.select(low, args[0], _constant(_LOWEST))
        shifted = builder.fadd(x, _constant(_ROUNDING))
        f = builder.fsub(x, builder.fsub(shifted, _constant(_ROUNDING)))
        value = _constant(_EXP2[0])
        for factor in _EXP2[1:]:
            value = call_float(builder, "llvm.fma", value, f, _constant(factor))
        power = builder.shl(builder.bitcast(shifted, _WORDS), _whole(_MANTISSA_BITS))
        return builder.bitcast(builder.add(builder.bitcast(value, _WORDS), power), _VECTOR)

    return points(points), generate


@intrinsic
def exponent(typingctx, a):
    """Give the whole n of a = m * 2**n with 1 <= m < 2, for normal a > 0."""

    def generate(context, builder, signature, args):
        bits = builder.lshr(builder.bitcast(args[0], _WORDS), _whole(_MANTISSA_BITS))
        return builder.sitofp(builder.sub(bits, _whole(_BIAS)), _VECTOR)

    return points(points), generate


@intrinsic
def mantissa(typingctx, a):
    """Give the m of a = m * 2**n with 1 <= m < 2, for normal a > 0."""

    def generate(context, builder, signature, args):
        bits = builder.and_(builder.bitcast(args[0], _WORDS), _whole(_MANTISSA))
        return builder.bitcast(builder.or_(bits, _whole(_ONE)), _VECTOR)

    return points(points), generate
