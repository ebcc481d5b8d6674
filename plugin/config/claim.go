package config

// requiredClaims reads an object of claim → value, or claim → array of values. The names are the tokens' own, so none
// is unknown.
func requiredClaims(to *[]RequiredClaim) reader {
	return func(d *document, n *node) {
		claims, ok := n.Value.(object)
		if !ok {
			d.errorf(n, `must be an object such as {"realm_access.roles": ["mqtt"]}, found %s`, n.Found())
			return
		}
		for _, m := range claims {
			if m.Name == "" {
				d.errorAt(m.NameOffset, m.Path, "must name a claim, found an empty name")
			}
			*to = append(*to, RequiredClaim{Path: m.Name, Values: claimValues(d, m.Node)})
		}
	}
}

func claimValues(d *document, n *node) []any {
	items, isArray := n.Value.(array)
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
