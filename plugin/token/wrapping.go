package token

import (
	"strings"

	"go-jwt-auth/plugin/internal/jsonvalue"
	"go-jwt-auth/plugin/verdict"
)

// maxLayers bounds how many things around a token are taken off one after the other.
const maxLayers = 6

// Wrapping says of a password that is not a token by itself (Classify finds Other) what it is if there is one in it: what people and
// scripts send along, and what was lost on the way. It reads "a token with …", or is empty. Nothing of the password is in it.
func Wrapping(password string) string {
	if cutOff(password) {
		return "the beginning of a token, which was cut off"
	}
	if strings.Count(password, ".") < 2 {
		return ""
	}
	var layers []string
	inside := password
	for range maxLayers {
		layer, rest := unwrap(inside)
		if layer == "" {
			break
		}
		if layers = append(layers, layer); isToken(rest) {
			return "a token with " + strings.Join(layers, ", and ")
		}
		inside = rest
	}
	if verdict.HoldsToken(password) {
		return "a token with other text around it"
	}
	return ""
}

func isToken(text string) bool {
	shape, _ := Classify(text)
	return shape != Other
}

// cutOff tells whether text is base64url up to its first or second dot, and begins as a header does.
func cutOff(text string) bool {
	if strings.Count(text, ".") > 1 || strings.Trim(text, alphabet+".") != "" {
		return false
	}
	header, _, _ := strings.Cut(text, ".")
	raw, _ := base64URL.DecodeString(header[:min(len(header), maxHeader)/4*4]) // what was read before a fault counts
	return beginsObject(raw)
}

// unwrap takes one layer off, and says what it was; empty: there is none that it knows.
func unwrap(text string) (layer, rest string) {
	for _, try := range []func(string) (string, string){fromJSON, fromSpace, fromQuotes, fromWord, fromLines, fromBase64} {
		if layer, rest = try(text); layer != "" {
			return layer, rest
		}
	}
	return "", text
}

// fromJSON is for the whole answer of a token endpoint (RFC 6749 §5.1), and other objects that hold a token.
func fromJSON(text string) (layer, rest string) {
	if !strings.HasPrefix(text, "{") {
		return "", text
	}
	members, err := jsonvalue.Object([]byte(text))
	if err != nil {
		return "", text
	}
	if access, _ := members["access_token"].(string); access != "" {
		return `the token endpoint's whole answer around it: its "access_token" alone is the password`, access
	}
	for _, value := range members {
		if member, isText := value.(string); isText && isToken(member) {
			return "JSON around it", member
		}
	}
	return "", text
}

func fromSpace(text string) (layer, rest string) {
	rest = strings.TrimSpace(text)
	switch around := strings.Replace(text, rest, "", 1); {
	case around == "":
		return "", text
	case strings.ContainsAny(around, "\r\n"):
		return "a line end before or behind it", rest
	default:
		return "white space before or behind it", rest
	}
}

func fromQuotes(text string) (layer, rest string) {
	if rest = strings.Trim(text, "\"'`“”„‘’"); rest != text {
		return "quotes around it", rest
	}
	return "", text
}

// fromWord is for what stands before a token in a header (RFC 6750 §2.1) or in a form.
func fromWord(text string) (layer, rest string) {
	for _, word := range []string{"Authorization:", "Bearer ", "Bearer:", "JWT ", "Token ", "DPoP ", "access_token=", "id_token=", "token="} {
		if len(text) > len(word) && strings.EqualFold(text[:len(word)], word) {
			return `"` + strings.TrimSpace(word) + `" before it`, text[len(word):]
		}
	}
	return "", text
}

func fromLines(text string) (layer, rest string) {
	rest = strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t\r\n", r) {
			return -1
		}
		return r
	}, text)
	if rest != text && (isToken(rest) || isToken(toBase64URL(rest))) {
		return "line ends or white space inside of it", rest
	}
	return "", text
}

// fromBase64 is for parts in base64 instead of base64url without padding (RFC 7515 §2).
func fromBase64(text string) (layer, rest string) {
	switch rest = toBase64URL(text); {
	case rest == text || !isToken(rest):
		return "", text
	case strings.ContainsAny(text, "+/"):
		return `base64's letters "+" and "/" in the place of "-" and "_"`, rest
	default:
		return `padding ("=") at the end of its parts`, rest
	}
}

func toBase64URL(text string) string {
	if dots := strings.Count(text, "."); dots != 2 && dots != 4 {
		return text
	}
	parts := strings.Split(strings.NewReplacer("+", "-", "/", "_").Replace(text), ".")
	for i := range parts {
		parts[i] = strings.TrimRight(parts[i], "=")
	}
	return strings.Join(parts, ".")
}
