"""Words of docs/registration.md."""

INTRO = """# Registration beside its peers

DeepSTD's registration of two scans (`deepstd register`), the peers one would use instead, and the
shape stage as compression uses it. This page is written by `python -m benchmarks.registration`;
every row is in `benchmarks/results/registration.json`."""

STUDIES = {
    "hippocampus": """## Hippocampus, 15 pairs of test scans

T1 MRI crops of 1 mm; test scan n to test scan n + 15 of `splits.json`. HD95 in mm.""",
    "cardiac": """## Cardiac cine, 15 pairs of patients

End-diastolic stacks of about 216 × 256 × 10; each of the last 15 patients to the next. Spacing is
lost in these files (1, 1, 1), so HD95 is in voxels, and a step between slices counts as one
within.""",
    "template": """## Hippocampus, the bundle's template on 30 test scans

What a compressed file holds of shape, and what it is worth. The template's labels are the vote of
the 20 validation scans. NCC² is the share of a scan's variance that its warp explains.""",
}

READINGS: dict[str, tuple[str, ...]] = {
    "cardiac": (
        "A field cannot mend a wrong affine stage: where spacing and orientation are lost, that "
        "decides. With a field alone on either side and no cycle term most pairs run away.",
    ),
    "template": (
        "The rows of pairs are the meta-learned start: the same fit from the bundle's hidden "
        "layers, and from random ones, after as many steps.",
    ),
}

KNOWN = """The chest CT against itself, scaled, sheared, shifted, deformed by waves of 8 mm, cropped
and of another spacing (`python -m benchmarks.registration.known_deformation`)."""

FIRST = """## Since the first shape stage

Ten test scans each at 0.5 to 0.0625 bpv through the same texture networks (effort fast, field
always kept): once with template and field of the first version of this project (commit e07e58f,
bundles hippocampus-t1 1 and chest-xray 1), once as now
(`python -m benchmarks.registration.first_stage`). On X-rays no field at all costs 0.8 %
(docs/ablations.md), so there is little to be had."""

SELECTION = """The paper's study of templates (`benchmarks/registration/template_selection.py`):
{test} hippocampus test scans registered by the method of `deepstd register` to templates made of
{train} training scans. Dice is that of the template's labels, warped to the scan. Bundles have the
group-wise average."""

METHODS = """## How the methods were run

- One interface: for every voxel of the fixed scan its place in the moving one. Labels are warped
  by nearest neighbour, folding is the share of voxels whose determinant by central differences is
  not positive, and both are computed alike for all. Dice and HD95 are means over the labels of
  the fixed scan; "(13 of 15)" means that in the others a label has gone.
- **CPU s** is the CPU time of the process with one thread, methods taking turns on every pair: on
  a machine that does other work, too, this varies less than time by the clock.
- **bytes** is what storing the transformation takes: B-spline coefficients and dense fields
  rounded to 1/8 voxel, differences along the axes, LZMA; networks' weights in half precision. It
  is a plain coder, and no peer was made to be stored.
- **Affine** and **B-spline** are elastix with its defaults, correlation as metric, no bending
  penalty (six times slower), control points every 8 mm (hippocampus) or 16 voxels (cardiac). Where
  elastix gives up on the B-spline, as after a wrong affine of a cardiac pair, the affine stands.
  **SyN** is `ants.registration` with its defaults (affine, then SyN by mutual information, none of
  it at full resolution), but it starts from elastix's affine: from its own start, the centres of
  mass, one of the 15 hippocampus pairs ended at Dice 0.001.
- The others start from the same elastix affine stage, which their time includes. **ConvexAdam**
  is written from its papers; **VoxelMorph** and **CycleMorph** are written from theirs, work at
  half resolution and were trained for seven minutes of one core each: 824 and 151 steps on the 148
  training scans of the hippocampus, 319 and 65 steps on the 21 cardiac patients that no pair has,
  too few to do more than the affine stage there. The published ones train for a day on a GPU.
  **IDIR** has 64 neurons a layer instead of 256, and 200 steps of 2,000 points instead of 2,500
  of 10,000."""
