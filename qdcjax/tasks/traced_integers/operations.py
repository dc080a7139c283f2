"""The operations: schoolbook arithmetic on digits, sorting, the median, greatest common divisors.

Their variables and the order of their steps are those of Havrilla and Iyer (2024, arXiv
2402.04004), so that their traces come out to the letter.
"""

from qdcjax.tasks.traced_integers.integers import NOTHING, ONE, ZERO, TracedInteger, TraceError
from qdcjax.tasks.traced_integers.recording import Variables, operation


@operation("{x} + {y}", symbol="+")
def add(v: Variables) -> TracedInteger:
    """Digit by digit from the units, with a carry."""
    v.res = NOTHING
    v.carry = ZERO
    while v.x or v.y:
        v.digx, v.digy = v.x[0], v.y[0]
        v.x, v.y = v.x >> 1, v.y >> 1
        v.ds = v.digx.plus(v.digy)
        v.ds = v.ds.plus(v.carry)
        v.res = v.ds[0] | v.res
        v.carry = ZERO if v.ds.length() <= 1 else ONE
    if v.carry:
        v.res = v.carry | v.res
    return v.res


@operation("{x} - {y}", symbol="-", larger_first=True)
def sub(v: Variables) -> TracedInteger:
    """Digit by digit from the units, with a borrow."""
    if v.x < v.y:
        raise TraceError(f"{v.x.value} - {v.y.value} is negative")
    v.res = NOTHING
    v.borrow = ZERO
    while v.y:
        v.digx, v.digy = v.x[0], v.y[0]
        v.x, v.y = v.x >> 1, v.y >> 1
        if v.borrow and v.digx:
            v.digx = v.digx.minus(ONE)
            v.borrow = ZERO
        elif v.borrow:
            v.digx = ONE | TracedInteger("0")
            v.digx = v.digx.minus(ONE)
        if v.digx < v.digy:
            v.digx = ONE | v.digx
            v.borrow = ONE
        v.dd = v.digx.minus(v.digy)
        v.res = v.dd | v.res
    v.dd = v.x.minus(ONE) if v.borrow else v.x
    if v.dd:
        v.res = v.dd | v.res
    return v.res


@operation("{x} * {y}", symbol="*")
def mul(v: Variables) -> TracedInteger:
    """Each digit of the shorter number times the longer one; single digits are known by heart."""
    if v.x.length() < v.y.length():
        v.t = v.x
        v.x = v.y
        v.y = v.t
    if v.x.length() <= 1 and v.y.length() <= 1:
        v.out_res = v.x.times(v.y)
        return v.out_res
    v.out_res = NOTHING
    v.carry = ZERO
    v.mag = NOTHING
    while v.y:
        v.fac = v.y[0]
        v.y = v.y >> 1
        v.x_c = v.x
        v.in_res = NOTHING
        while v.x_c:
            v.term = v.x_c[0]
            v.x_c = v.x_c >> 1
            v.dm = v.fac.times(v.term)
            v.dm = v.dm + v.carry
            v.in_res = v.dm[0] | v.in_res
            v.carry = ZERO if v.dm.length() <= 1 else v.dm[1]
        v.in_res = v.carry | v.in_res
        v.carry = ZERO
        v.in_res = v.in_res | v.mag
        v.mag = v.mag << 1
        v.out_res = v.out_res + v.in_res
    return v.out_res


@operation("{x} / {y}", symbol="/", larger_first=True)
def div(v: Variables) -> TracedInteger:
    """Long division; each digit of the quotient is found by adding the divisor up."""
    _check_divisor(v.y)
    v.res = ZERO
    while v.x >= v.y:
        _align(v)
        v.dig = ONE
        v.sum_div = v.y
        v.sub_x = v.x >> v.factor_mag
        while v.sum_div <= v.sub_x:
            v.dig = v.dig + ONE
            v.sum_div = v.sum_div + v.y
        if v.sum_div > v.sub_x:
            v.dig = v.dig - ONE
            v.sum_div = v.sum_div - v.y
        v.factor = v.dig << v.factor_mag
        v.res = v.res + v.factor
        v.remove = v.sum_div << v.factor_mag
        v.x = v.x - v.remove
    return v.res


@operation("{x} % {y}", symbol="%")
def mod(v: Variables) -> TracedInteger:
    """The remainder of long division."""
    _check_divisor(v.y)
    while v.x >= v.y:
        _align(v)
        v.sum_div = v.y
        v.sub_x = v.x >> v.factor_mag
        while v.sum_div <= v.sub_x:
            v.sum_div = v.sum_div + v.y
        if v.sum_div > v.sub_x:
            v.sum_div = v.sum_div - v.y
        v.remove = v.sum_div << v.factor_mag
        v.x = v.x - v.remove
    return v.x


def _check_divisor(y: TracedInteger) -> None:
    if not y:
        raise TraceError("division by zero")


def _align(v: Variables) -> None:
    """How many places the divisor can go to the left below the dividend."""
    v.len_x = v.x.length()
    v.len_y = v.y.length()
    v.factor_mag = v.len_x - v.len_y
    if v.y << v.factor_mag > v.x:
        v.factor_mag = v.factor_mag - ONE


@operation("sort({l})", expression="sort_ints({l})")
def sort(v: Variables) -> list[TracedInteger]:
    """Selection sort."""
    v.sorted_l = []
    while v.l:
        v.min_item = v.l[0]
        v.min_index = 0
        for v.i in range(len(v.l)):  # noqa: B020  # v.i, and not v
            v.candidate = v.l[v.i]
            if v.candidate < v.min_item:
                v.min_item = v.candidate
                v.min_index = v.i
        v.sorted_l.append(v.min_item)
        v.l = v.l[: v.min_index] + v.l[v.min_index + 1 :]
    return v.sorted_l


@operation("gcd( {x} , {y} )")
def gcd(v: Variables) -> TracedInteger:
    """Euclid's algorithm."""
    while v.y:
        v.t = v.y
        v.y = v.x % v.y
        v.x = v.t
    return v.x


@operation("median({nums})")
def median(v: Variables) -> TracedInteger:
    """The middle one in order, or half of the sum of the middle two, rounded down."""
    v.nums_sorted = sort(v.nums)
    v.n = len(v.nums_sorted)
    if v.n % 2:
        v.res = v.nums_sorted[v.n // 2]
        return v.res
    v.left_mid = v.nums_sorted[v.n // 2 - 1]
    v.right_mid = v.nums_sorted[v.n // 2]
    v.sum_mid = v.left_mid + v.right_mid
    v.res = v.sum_mid // TracedInteger("2")
    return v.res
