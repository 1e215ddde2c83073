"""Draw D_k from M_k and the prompts P. Who calls whom:

stage / own_prompts   what to draw: prompts, seeds, settings, and where the images go
  processes           in one process or several, with the same bytes
    batches           in which order, the network compiled where there is much to draw; finished batches survive a kill
      image_plan      what is to be drawn, and what is drawn already
      memory          how many images at a time, and fewer after running out of memory
      sampler         prompts -> conditions -> latents -> pixels; one batch for both branches at the scale s_t of each step
      outputs         the images as files or in shards, the traces in one file
        png           each image's lineage as text in its PNG

What depends on the model's family, the noise levels and the solver among it, is in pipeline/diffusion/families.
"""
