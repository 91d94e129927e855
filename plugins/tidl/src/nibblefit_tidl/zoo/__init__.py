"""TI's reference networks in PyTorch, as factories for recipes.

``model.source = "nibblefit_tidl.zoo:jacintonet11"``. Factories end at the raw scores; softmax and
argmax belong to the task. Importing this package imports torch.
"""

from nibblefit_tidl.zoo.inceptionnet import inceptionnetv1
from nibblefit_tidl.zoo.jacintonet import jacintonet11, jacintonet11_cifar10
from nibblefit_tidl.zoo.jdetnet import jdetnet
from nibblefit_tidl.zoo.jsegnet import jsegnet21
from nibblefit_tidl.zoo.mobilenet import mobilenetv1
from nibblefit_tidl.zoo.squeezenet import squeezenet

__all__ = [
    "inceptionnetv1",
    "jacintonet11",
    "jacintonet11_cifar10",
    "jdetnet",
    "jsegnet21",
    "mobilenetv1",
    "squeezenet",
]
