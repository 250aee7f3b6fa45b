"""Eight float32 lanes at a time: what numba's own loops over classes do not become.

numba does not vectorise a loop over classes inside a loop over pixels (it cannot rule out that
arrays overlap), so these intrinsics write LLVM's vector instructions themselves. Arrays are flat,
float32 and contiguous; indices count elements and are trusted.
"""
# ruff: noqa: E501, ARG001  the next line is one directive; numba calls generators with fixed arguments
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False, check-untyped-defs=False

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

LANES = 8
_SINGLE = ir.FloatType()
_WORD = ir.IntType(32)
_VECTOR = ir.VectorType(_SINGLE, LANES)
_WORDS = ir.VectorType(_WORD, LANES)


class Lanes(types.Type):
    """Eight float32 values in one register."""

    def __init__(self):
        super().__init__(name="Lanes8")


lanes = Lanes()


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, _VECTOR)


def _address(context, builder, array_type, array, index):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _VECTOR.as_pointer())


@intrinsic
def load(typingctx, array, index):
    """Read eight elements from `index` on."""

    def generate(context, builder, signature, args):
        return builder.load(_address(context, builder, signature.args[0], *args), align=4)

    return lanes(array, types.intp), generate


@intrinsic
def store(typingctx, array, index, value):
    """Write eight elements from `index` on."""

    def generate(context, builder, signature, args):
        address = _address(context, builder, signature.args[0], args[0], args[1])
        builder.store(args[2], address, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), generate


@intrinsic
def pick(typingctx, array, index):
    """Read one element; no index counts from the end, and none is looked at."""

    def generate(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.load(builder.gep(data, [args[1]]))

    return array.dtype(array, types.intp), generate


@intrinsic
def prefetch(typingctx, array, index):
    """Ask for the cache line of an element that will be read soon."""

    def generate(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        address = builder.bitcast(builder.gep(data, [args[1]]), cgutils.voidptr_t)
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, _WORD, _WORD, _WORD])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [address, _WORD(0), _WORD(3), _WORD(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


def _constant(value):
    return ir.Constant(_VECTOR, [float(value)] * LANES)


def _whole(value):
    return ir.Constant(_WORDS, [value] * LANES)


def _spread(builder, value):
    first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, _WORD(0))
    return builder.shuffle_vector(first, first, ir.Constant(_WORDS, [0] * LANES))


def _call(builder, name, *args):
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * len(args))
    function = cgutils.get_or_insert_function(builder.module, kind, f"{name}.v{LANES}f32")
    return builder.call(function, args)


@intrinsic
def spread(typingctx, value):
    """Give the scalar in all lanes."""

    def generate(context, builder, signature, args):
        return _spread(builder, args[0])

    return lanes(types.float32), generate


def _binary(name, emit):
    @intrinsic
    def operation(typingctx, a, b):
        def generate(context, builder, signature, args):
            return emit(builder, *args)

        return lanes(lanes, lanes), generate

    operation.__name__ = name
    return operation


def _larger(builder, a, b):
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def _smaller(builder, a, b):
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)


def _less(builder, a, b):
    return builder.select(builder.fcmp_ordered("<", a, b), _constant(1), _constant(0))


add = _binary("add", lambda builder, a, b: builder.fadd(a, b))
sub = _binary("sub", lambda builder, a, b: builder.fsub(a, b))
mul = _binary("mul", lambda builder, a, b: builder.fmul(a, b))
div = _binary("div", lambda builder, a, b: builder.fdiv(a, b))
larger = _binary("larger", _larger)
smaller = _binary("smaller", _smaller)
less = _binary("less", _less)  # 1 where a < b, else 0


@intrinsic
def fma(typingctx, a, b, c):
    """Give a * b + c."""

    def generate(context, builder, signature, args):
        return _call(builder, "llvm.fma", *args)

    return lanes(lanes, lanes, lanes), generate


@intrinsic
def rounded(typingctx, a):
    """Give each lane rounded to the nearest whole number, halves to the even one."""

    def generate(context, builder, signature, args):
        return _call(builder, "llvm.rint", args[0])

    return lanes(lanes), generate


@intrinsic
def size(typingctx, a):
    """Give the absolute value of each lane."""

    def generate(context, builder, signature, args):
        return _call(builder, "llvm.fabs", args[0])

    return lanes(lanes), generate


def _fold(emit):
    """Combine the lanes of a vector pairwise, in a fixed order."""

    def generate(context, builder, signature, args):
        value = args[0]
        for distance in (4, 2, 1):
            order = [(i + distance) % LANES for i in range(LANES)]
            turned = builder.shuffle_vector(value, value, ir.Constant(_WORDS, order))
            value = emit(builder, value, turned)
        return builder.extract_element(value, _WORD(0))

    return generate


@intrinsic
def total(typingctx, a):
    """Give the sum of the lanes."""
    return types.float32(lanes), _fold(lambda builder, a, b: builder.fadd(a, b))


@intrinsic
def largest(typingctx, a):
    """Give the largest lane."""
    return types.float32(lanes), _fold(_larger)


# exp(x) = 2^n * exp(r), r = x - n ln 2 in two parts; the polynomial is Taylor's to the 6th power,
# whose relative error on |r| <= ln(2) / 2 is 2e-7 at most.
_LOWEST = -88.0
_LOG2_E = 1.4426950408889634
_LN2_HIGH = 0.693359375
_LN2_LOW = -2.12194440e-4
_TAYLOR = (1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0)
_EXPONENT_BIAS, _MANTISSA_BITS = 127, 23


@intrinsic
def exp(typingctx, a):
    """Give exp of each lane; arguments must be <= 0, those below -87.7 give 0.

    So the unused lanes of a row hold zeros and not the smallest of numbers, which slow a CPU down.
    """

    def generate(context, builder, signature, args):
        x = _larger(builder, args[0], _constant(_LOWEST))
        n = _call(builder, "llvm.rint", builder.fmul(x, _constant(_LOG2_E)))
        r = _call(builder, "llvm.fma", n, _constant(-_LN2_HIGH), x)
        r = _call(builder, "llvm.fma", n, _constant(-_LN2_LOW), r)
        value = _constant(_TAYLOR[0])
        for factor in _TAYLOR[1:]:
            value = _call(builder, "llvm.fma", value, r, _constant(factor))
        power = builder.add(builder.fptosi(n, _WORDS), _whole(_EXPONENT_BIAS))
        scale = builder.bitcast(builder.shl(power, _whole(_MANTISSA_BITS)), _VECTOR)
        return builder.fmul(value, scale)

    return lanes(lanes), generate
