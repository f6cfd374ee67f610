"""How a model computes, in this process: engines, samples, caches. No HTTP and no search; torch lives here."""
