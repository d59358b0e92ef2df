bmsd-state 1 173 4257d8b2
{"identity":{"model":"FRONT","cells":13},"soc_percent":62,"sequence":2,"charge_uah":24800000,"samples_total":60,"cycles":100,"saved_sec":1795395273,"writer":"B202108010001"}
