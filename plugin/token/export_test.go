package token

// All are the claims as they were read.
func (c Claims) All() map[string]any { return c.all }
