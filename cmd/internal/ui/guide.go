package ui

import (
	"regexp"
	"strings"

	gojwtauth "go-jwt-auth"
)

// A block of a guide is a paragraph, an example or a list, as docs/troubleshooting.md has it.
type block struct {
	Kind  string   `json:"kind"` // "text", "example" or "list"
	Items [][]span `json:"items"`
}

// A span is a piece of text in one face.
type span struct {
	Text string `json:"text"`
	Code bool   `json:"code,omitempty"`
}

// guides are the sections below "Refusals" of docs/troubleshooting.md, by the reason in their heading: what it means that a login was
// refused for that, and what to do.
func guides() map[string][]block {
	_, refusals, _ := strings.Cut(gojwtauth.Troubleshooting, "\n## Refusals\n")
	refusals, _, _ = strings.Cut(refusals, "\n## ")
	all := map[string][]block{}
	for _, section := range strings.Split(refusals, "\n### `")[1:] {
		reason, text, _ := strings.Cut(section, "`\n")
		all[reason] = blocks(text)
	}
	return all
}

// blocks reads the Markdown that the document is written in: paragraphs, fenced examples and flat lists.
func blocks(text string) (all []block) {
	for i, part := range strings.Split(text, "```") {
		if i%2 == 1 { // behind the fence stands the language
			_, example, _ := strings.Cut(part, "\n")
			all = append(all, block{"example", [][]span{{{Text: strings.TrimRight(example, "\n"), Code: true}}}})
			continue
		}
		for paragraph := range strings.SplitSeq(part, "\n\n") {
			paragraph = strings.TrimSpace(paragraph)
			switch {
			case paragraph == "":
			case strings.HasPrefix(paragraph, "- "):
				list := block{Kind: "list"}
				for item := range strings.SplitSeq(paragraph[len("- "):], "\n- ") {
					list.Items = append(list.Items, spans(item))
				}
				all = append(all, list)
			default:
				all = append(all, block{"text", [][]span{spans(paragraph)}})
			}
		}
	}
	return all
}

// link is one of Markdown's. The page has the text of it alone, as the documents are not part of it.
var link = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)

// spans parts a paragraph at its backquotes.
func spans(text string) (all []span) {
	text = strings.ReplaceAll(link.ReplaceAllString(text, "$1"), "**", "")
	for i, part := range strings.Split(strings.Join(strings.Fields(text), " "), "`") {
		if part != "" {
			all = append(all, span{part, i%2 == 1})
		}
	}
	return all
}
