# exit 2
import genbench
import torch
