"""The benchmark behind `nlctl bench`.

Pure rooms say what to do (`lines`, `mix`, `payload`, `schedule`) and what it came to (`histogram`, `figures`,
`report`). A conductor (`rounds`, with its `crew`) tells load processes (`loader`, `driving`, `calls`) whom to call, and
a server that does nothing (`echo`) is called beside every real one: figures of one machine mean little on another.
"""
