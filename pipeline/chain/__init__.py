"""What a chain is: its parameters, its paths as functions of k, its image sets.

params, presets     params.yaml: names, types, ranges, what each stage reads; named settings
paths               where D_k, T_k, M_k and everything else lie
image_sets, shards  D_k as files or in tar shards
model_names         the models that params.yaml and the commands know by name
run_environment     what besides a stage's inputs decides its bytes
"""
