"""Draw D_k from M_k and the prompts P. Who calls whom:

stage / standalone    what to draw: prompts, seeds, settings, and where the images go
  processes           in one process or several, with the same bytes
  conditions          the prompts, encoded
  plan                what is to be drawn, and what is drawn already
  batches             in which order; finished batches survive a kill
  finished            the images as files or in shards, the traces in one file
    memory, pieces    how many images at a time, and fewer when the memory runs out
    compiled          the U-Net compiled, where there is much to draw on a GPU
    later             queued on a GPU, and waited for when it is written
    sampler           prompts -> latents -> pixels
      schedule        s_t, the guidance scale of each step
      guidance        one U-Net batch for both branches; records ||cond - uncond||
      condition       the U-Net with its condition's keys and values computed once
      cpu             the U-Net arranged for a CPU
      solver          Euler Ancestral, given any noise prediction
  png                 each image's lineage as text in its PNG
"""
