"""Train a small U-Net of MONAI on compressed scans and their compressed label maps.

python train_monai.py FOLDER [EPOCHS]     FOLDER/images/NAME.dstd, FOLDER/labels/NAME.dstd
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from monai.data import DataLoader, Dataset
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
from monai.transforms import (
    Compose,
    LoadImaged,
    RandSpatialCropd,
    ScaleIntensityd,
    SpatialPadd,
)

from deepstd.monai import DeepSTDReader

CROP = (32, 32, 32)

folder = Path(sys.argv[1])
epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 2
cases = [
    {"image": path, "label": folder / "labels" / path.name}
    for path in sorted((folder / "images").glob("*.dstd"))
]
both = ["image", "label"]
transform = Compose(
    [
        LoadImaged(both, reader=DeepSTDReader(), ensure_channel_first=True),
        ScaleIntensityd("image"),
        SpatialPadd(both, CROP),
        RandSpatialCropd(both, CROP, random_size=False),
    ]
)
loader = DataLoader(Dataset(cases, transform), batch_size=2, shuffle=True)
classes = 1 + max(int(LoadImaged("label", DeepSTDReader())(case)["label"].max()) for case in cases)
network = UNet(3, 1, classes, channels=(8, 16, 32), strides=(2, 2), norm="instance")
loss_of = DiceCELoss(to_onehot_y=True, softmax=True)
optimiser = torch.optim.Adam(network.parameters(), 1e-3)
for epoch in range(1, epochs + 1):
    losses = []
    for batch in loader:
        loss = loss_of(network(batch["image"]), batch["label"])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    print(f"epoch {epoch}: loss {sum(losses) / len(losses):.4f}")
