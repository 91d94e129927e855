"""Names of TI's Caffe layers in the networks of this package: weights go from one to the other."""

from __future__ import annotations

import re

#: Layer in the published prototxt → module here, first match wins.
_RULES = tuple(
    (re.compile(pattern), module)
    for pattern, module in (
        (r"data/bias", "base.offset"),
        (r"(conv1[ab])", r"base.\1.0"),
        (r"(conv1[ab])/bn", r"base.\1.1"),
        (r"(res\d)a_branch2([ab])", r"base.\1\2.0"),
        (r"(res\d)a_branch2([ab])/bn", r"base.\1\2.1"),
        (r"fc\d+", "fc"),
        (r"(out[35]a_up2)", r"\1"),
        (r"(out[35]a|ctx_conv\d)", r"\1.0"),
        (r"(out[35]a|ctx_conv\d)/bn", r"\1.1"),
        (r"ctx_final", "ctx_final"),
        (r"out_deconv_final_(up\d)", r"\1"),
        (r"ctx_output(\d)", r"ctx.{0}.0"),
        (r"ctx_output(\d)/bn", r"ctx.{0}.1"),
        (r"ctx_output(\d)/relu_mbox_(loc|conf)", r"{1}.{0}"),
    )
)


def module_constant(constant: str) -> str:
    """Return the constant of a zoo network for one of an imported Caffe network.

    ``res2a_branch2b/bn.running_mean`` becomes ``base.res2b.1.running_mean``. A name that belongs
    to none of JacintoNet11, JSegNet21 and JDetNet is returned as it is.
    """
    layer, dot, parameter = constant.rpartition(".")
    for pattern, module in _RULES:
        if found := pattern.fullmatch(layer):
            groups = found.groups()
            if "{" in module:  # heads count from 1 in Caffe, from 0 here
                return module.format(int(groups[0]) - 1, *groups[1:]) + dot + parameter
            return found.expand(module) + dot + parameter
    return constant
