"""A network as training would have left it."""
import torch


def trained(model):
    """Gives batch normalization what training would: a fresh one is nearly the identity and would hide mistakes."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.4, 0.6)
                module.bias.uniform_(-0.1, 0.1)
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.75, 1.25)
                module.num_batches_tracked.fill_(1000)
    return model.eval()
