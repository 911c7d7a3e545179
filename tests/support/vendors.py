"""Small files in vendors' formats: CZI by Zeiss' own library, LIF byte by byte."""

import struct
from pathlib import Path

import numpy as np


def write_czi(
    path: Path,
    pixels: np.ndarray,
    *,
    z_step: float = 0.5,
    pixel: float = 0.1,
    names: tuple[str, ...] = ("DAPI", "GFP"),
    scenes: int = 1,
) -> None:
    """Write (T, C, Z, Y, X), or with 3 samples last; each scene 10 brighter."""
    from pylibCZIrw import czi

    with czi.create_czi(str(path)) as file:
        for scene in range(scenes):
            for t, c, z in np.ndindex(*pixels.shape[:3]):
                plane = pixels[t, c, z] + np.asarray(10 * scene, pixels.dtype)
                file.write(
                    data=plane if plane.ndim == 3 else plane[..., None],
                    plane={"T": t, "C": c, "Z": z},
                    location=(10_000 * scene, 0),
                    scene=scene,
                )
        file.write_metadata(
            document_name=path.stem,
            channel_names=dict(enumerate(names[: pixels.shape[1]])),
            scale_x=pixel * 1e-6,
            scale_y=pixel * 1e-6,
            scale_z=z_step * 1e-6,
        )


def write_lif(path: Path, images: dict[str, np.ndarray], *, z_step: float = 0.5) -> None:
    """Write images of (T, Z, C, Y, X), 0.1 µm a pixel and 2 s a time point."""
    elements, memory = "", b""
    for number, (name, pixels) in enumerate(images.items()):
        times, planes, channels, height, width = pixels.shape
        item = pixels.dtype.itemsize
        steps = {1: item, 2: item * width, 3: item * pixels[0, 0].size, 4: item * pixels[0].size}
        sizes = {1: width, 2: height, 3: planes, 4: times}
        lengths = {1: 1e-7, 2: 1e-7, 3: z_step * 1e-6, 4: 2.0}
        axes = "".join(
            f'<DimensionDescription DimID="{i}" NumberOfElements="{sizes[i]}" Origin="0" '
            f'Length="{lengths[i] * (sizes[i] - 1)}" Unit="{"s" if i == 4 else "m"}" '
            f'BytesInc="{steps[i]}" BitInc="0"/>'
            for i in (1, 2, 3, 4)
            if sizes[i] > 1
        )
        colours = "".join(
            f'<ChannelDescription DataType="0" ChannelTag="0" Resolution="{8 * item}" '
            'NameOfMeasuredQuantity="" Min="0" Max="1" Unit="" IsLUTInverted="0" BitInc="0" '
            f'LUTName="{("Green", "Red")[c]}" BytesInc="{c * item * width * height}"/>'
            for c in range(channels)
        )
        elements += (
            f'<Element Name="{name}" UniqueID="{number}"><Memory Size="{pixels.nbytes}" '
            f'MemoryBlockID="MemBlock_{number}"/><Data><Image><ImageDescription><Channels>'
            f"{colours}</Channels><Dimensions>{axes}</Dimensions></ImageDescription></Image>"
            "</Data><Children/></Element>"
        )
        block = f"MemBlock_{number}"
        head = struct.pack("<BQBI", 0x2A, pixels.nbytes, 0x2A, len(block))
        head += block.encode("utf-16-le")
        memory += struct.pack("<II", 0x70, len(head)) + head + pixels.tobytes()
    xml = (
        '<LMSDataContainerHeader Version="2"><Element Name="project" UniqueID="p"><Data/>'
        f'<Memory Size="0" MemoryBlockID="none"/><Children>{elements}</Children></Element>'
        "</LMSDataContainerHeader>"
    )
    head = struct.pack("<BI", 0x2A, len(xml)) + xml.encode("utf-16-le")
    path.write_bytes(struct.pack("<II", 0x70, len(head)) + head + memory)
