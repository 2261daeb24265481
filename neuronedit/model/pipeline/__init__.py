"""Raw events in, edited raw events out: on the processor, in rows or in columns, and on a GPU."""
