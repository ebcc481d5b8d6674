package config

// requiredClaims reads an object of claim → value, or claim → array of values. The names are the tokens' own, so none
// is unknown.
func requiredClaims(to *[]RequiredClaim) reader {
	return func(d *document, n *node) {
		claims, ok := n.value.(object)
		if !ok {
			d.errorf(n, `must be an object such as {"realm_access.roles": ["mqtt"]}, found %s`, n.found())
			return
		}
		for _, m := range claims {
			if m.name == "" {
				d.errorAt(m.offset, m.path, "must name a claim, found an empty name")
			}
			*to = append(*to, RequiredClaim{Path: m.name, Values: claimValues(d, m.node)})
		}
	}
}

func claimValues(d *document, n *node) []any {
	items, isArray := n.value.(array)
	if !isArray {
		items = array{n}
	}
	if len(items) == 0 {
		d.errorf(n, "must hold at least one value: no token could pass")
	}
	var values []any
	for _, i := range items {
		var value any
		scalar(&value)(d, i)
		values = append(values, value)
	}
	return values
}
