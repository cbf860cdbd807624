"""The datasets: one module a kind, each with `make(out, scale, ...)`, which fills `out/NAME/v1`, `v2`, … with whole trees."""
