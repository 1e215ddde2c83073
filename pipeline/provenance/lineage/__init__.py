"""Where an iteration, or an unknown image or LoRA, comes from: back to D_0, M_0, the code, parameters and seeds.

identify        a file from anywhere -> the run and iteration that it belongs to
runs            every dvc.lock that the work tree and Git hold; the commit that first recorded an output, and whether it holds
                the code that ran
ancestry, graph    the stages and files that led to an output
text_tree, prov_document    the graph to read, and as W3C PROV
"""
