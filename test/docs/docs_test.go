// Package docs holds the documents to the truth: every fenced block in a Markdown file of the project is run, loaded or
// compared, or stands in the list of those that something else holds; every link leads somewhere; and every line that the
// plugin can log as a warning or error, and every reason for a refusal, is explained in docs/troubleshooting.md.
package docs

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/text"

	"go-jwt-auth/plugin/config"
	"go-jwt-auth/test/brokers"
)

// elsewhere are the blocks that are not run here, by document and first line, and what holds them instead. A document
// without a line stands for all its blocks.
var elsewhere = map[string]string{
	"docs/configuration.md":    "plugin/config's reference_test and test/e2e's reference_test load and run every file in it",
	"README.md: make":          ".ci/run runs the first; test/demo plays the second",
	"README.md: listener 1883": "test/demo starts brokers with these two plugins in this order",
	"CONTRIBUTING.md: cd test && go test ./e2e -run 'TestName/2.1' -v": "it shows the form of a command",
	"docs/quick-start.md: apt install ./mosquitto-go-jwt-auth_*.deb":   "make test-packages installs the packages in Debian 12 and 13",
	"docs/quick-start.md: make all tool":                               ".ci/run makes both; the sandbox has them where these commands put them",
	"docs/musl.md: make musl":                                          "make test-musl makes it and runs the end-to-end cases with it",
	"docs/operation.md: apt remove mosquitto-go-jwt-auth":              "make test-packages removes it, while it is configured too",
	"docs/operation.md: [Service]":                                     "TestProxy has the plugin's code go by these variables",
	"docker/README.md":                                                 "make test-docker follows it with a real Keycloak, the broker's own files and its images",
	"examples/README.md":                                               "test/examples runs every program and the page; the tool's tests start dev-idp with these flags",
}

// block is a fenced block.
type block struct {
	document, language, text string
}

func (b block) firstLine() string {
	line, _, _ := strings.Cut(b.text, "\n")
	return line
}

// providers are the guides for identity providers: plugin/chain's provider_test judges tokens by their files for one provider,
// and their commands want the provider itself. TestCommandLines has those of the tool.
const providers = "docs/providers/"

// claimed tells whether something else holds the block, and notes that the claim is used.
func (b block) claimed(used map[string]bool) bool {
	if strings.HasPrefix(b.document, providers) {
		return b.language != "json" || !strings.Contains(b.text, `"providers"`)
	}
	for _, claim := range []string{b.document, b.document + ": " + b.firstLine()} {
		if _, has := elsewhere[claim]; has {
			used[claim] = true
			return true
		}
	}
	return false
}

func root(t *testing.T) string {
	t.Helper()
	root, err := brokers.Root()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// documents are the Markdown files of the project, by their path from its root.
func documents(t *testing.T) []string {
	t.Helper()
	var all []string
	top := root(t)
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains([]string{"build", "node_modules", ".git"}, d.Name()) {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".md") {
			name, err := filepath.Rel(top, path)
			all = append(all, name)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func read(t *testing.T, document string) []byte {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(root(t), document))
	if err != nil {
		t.Fatal(err)
	}
	return source
}

// walk calls visit for each node of a document.
func walk(t *testing.T, document string, visit func(source []byte, node ast.Node)) {
	t.Helper()
	source := read(t, document)
	_ = ast.Walk(goldmark.DefaultParser().Parse(text.NewReader(source)), func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if entering {
			visit(source, n)
		}
		return ast.WalkContinue, nil
	})
}

func blocks(t *testing.T, document string) []block {
	t.Helper()
	var all []block
	walk(t, document, func(source []byte, n ast.Node) {
		if fenced, ok := n.(*ast.FencedCodeBlock); ok {
			all = append(all, block{document, string(fenced.Language(source)), string(fenced.Lines().Value(source))})
		}
	})
	return all
}

// TestNoTokenInACommandLine: every user of a machine can read them, so no document shows one with a token or a secret in it.
// A builtin of the shell is none.
func TestNoTokenInACommandLine(t *testing.T) {
	shown := regexp.MustCompile(`(?m)^.*\b(?:mosquitto_\w+|curl|go-jwt-auth)\b.*(?:\s-P|\s--pw|\s--password|[Bb]earer)[= ]?["']?[^|\n]*\$.*$`)
	for _, document := range documents(t) {
		for _, b := range blocks(t, document) {
			for _, line := range shown.FindAllString(strings.ReplaceAll(b.text, "\\\n", " "), -1) {
				t.Errorf("%s: %s", document, line)
			}
		}
	}
}

func TestBlocks(t *testing.T) {
	used := map[string]bool{}
	for _, document := range documents(t) {
		t.Run(document, func(t *testing.T) {
			var script []block
			for _, b := range blocks(t, document) {
				switch {
				case b.claimed(used):
				case b.language == "json":
					load(t, b)
				case b.language == "ini":
					sameAsDropIn(t, b)
				case b.language == "js":
					runsAsFunction(t, b)
				case b.language == "sh", b.language == "text" && len(script) > 0:
					script = append(script, b)
				case b.language == "text": // a line of the log, or of a file: TestTroubleshooting has the former
				default:
					t.Errorf("nothing holds this block in %q:\n%s", b.language, b.text)
				}
			}
			if len(script) > 0 {
				play(t, script)
			}
		})
	}
	for claim := range elsewhere {
		if !used[claim] {
			t.Errorf("there is no block %q any more", claim)
		}
	}
}

var secretFile = regexp.MustCompile(`"filePath": "(/etc/[^"]*|[a-z]+-secret)"`)

// load reads a block as a jwt.json. What has no mode is a part of one, a token or an answer, and must be JSON at least.
func load(t *testing.T, b block) {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(b.text), &object); err != nil {
		t.Errorf("no JSON: %v\n%s", err, b.text)
		return
	}
	if object["mode"] == nil && object["providers"] == nil {
		return
	}
	folder := t.TempDir()
	secret, name := filepath.Join(folder, "secret"), filepath.Join(folder, "jwt.json")
	for file, content := range map[string]string{secret: "secret", name: secretFile.ReplaceAllString(b.text, `"filePath": "`+secret+`"`)} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, problems := config.Load(name); len(problems) > 0 {
		t.Errorf("%s\n%s", problems.Error(), b.text)
	}
}

// between is printed after each block.
const between = "\x1e"

// play runs the commands of a document in their order, as root on a machine of its own: this one's files under an overlay
// that is thrown away, with the plugin and the tool installed, and a network with nothing but loopback. What it prints is
// compared to the text that follows.
func play(t *testing.T, script []block) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("the commands of the documents are run as root")
		}
		t.Skip("NOT TESTED: the commands of this document are run as root")
	}
	var commands strings.Builder
	for _, b := range script {
		if b.language != "sh" {
			continue
		}
		// What keeps running in the background prints when it likes: not between the outputs of others.
		background := strings.HasSuffix(strings.TrimSpace(b.text), "&")
		if background {
			commands.WriteString("exec 3>&1 >/srv/background\n")
		}
		commands.WriteString(b.text)
		// With `set -e` a command after "!" that succeeds ends nothing.
		commands.WriteString("[ $? -eq 0 ] || exit 1\n")
		if background {
			commands.WriteString("exec >&3 3>&-\n") // the next line must wait by itself until it is there
		}
		commands.WriteString("printf '" + between + "'\n")
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "commands"), []byte(commands.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(root(t), "test", "docs", "sandbox.sh"), folder)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s\n%s", err, commands.String(), out.String(), errs.String())
	}
	compare(t, script, strings.Split(out.String(), between))
}

// compare holds each text to the output of the commands before it.
func compare(t *testing.T, script []block, outputs []string) {
	t.Helper()
	ran := 0
	for i, b := range script {
		if b.language == "sh" {
			ran++
			continue
		}
		if script[i-1].language != "sh" {
			continue
		}
		if got, want := general(outputs[ran-1]), general(b.text); got != want {
			t.Errorf("the document shows\n%s\nand the command prints\n%s", want, got)
		}
	}
}

// general takes out of an output what differs from run to run.
func general(output string) string {
	for pattern, to := range map[string]string{
		`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`: "TIME", `in \d+m\d+s`: "in DURATION", `in \d+ ms`: "in MILLISECONDS",
		`"[A-Z2-7]{26}"`: `"ID"`, `/(home/me|srv/doc)/`: "/FOLDER/",
	} {
		output = regexp.MustCompile(pattern).ReplaceAllString(output, to)
	}
	return strings.TrimSpace(output)
}

// The documents also show commands that need a real provider, in indented blocks and in the guides: the tool knows their
// flags at least.
func TestCommandLines(t *testing.T) {
	seen := 0
	for _, document := range documents(t) {
		walk(t, document, func(source []byte, n ast.Node) {
			var shown string
			switch n := n.(type) {
			case *ast.CodeBlock:
				shown = string(n.Lines().Value(source))
			case *ast.FencedCodeBlock:
				if strings.HasPrefix(document, providers) {
					shown = string(n.Lines().Value(source))
				}
			}
			for line := range strings.Lines(strings.ReplaceAll(shown, "\\\n", " ")) {
				words := strings.Fields(line)
				if len(words) == 0 || words[0] != "go-jwt-auth" {
					continue
				}
				if end := slices.IndexFunc(words, func(w string) bool { return w == "<" || w == "|" || w == ">" }); end > 0 {
					words = words[:end]
				}
				seen++
				cmd := exec.CommandContext(t.Context(), filepath.Join(root(t), "build", "go-jwt-auth"), append(words[1:], "--help")...)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%s: %s\n%s", document, strings.TrimSpace(line), out)
				}
			}
		})
	}
	if seen < 10 {
		t.Errorf("only %d command lines were found", seen)
	}
}

// anchor is how a heading is linked to.
func anchor(heading string) string {
	heading = strings.ToLower(heading)
	heading = regexp.MustCompile(`[^\p{L}\p{N}\- _]`).ReplaceAllString(heading, "")
	return strings.ReplaceAll(heading, " ", "-")
}

func anchors(t *testing.T, document string) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	walk(t, document, func(source []byte, n ast.Node) {
		if h, ok := n.(*ast.Heading); ok {
			all[anchor(string(h.Lines().Value(source)))] = true
		}
	})
	return all
}

func TestLinks(t *testing.T) {
	for _, document := range documents(t) {
		walk(t, document, func(_ []byte, n ast.Node) {
			var to string
			switch n := n.(type) {
			case *ast.Link:
				to = string(n.Destination)
			case *ast.Image:
				to = string(n.Destination)
			default:
				return
			}
			if strings.Contains(to, "://") {
				return
			}
			path, fragment, _ := strings.Cut(to, "#")
			target := document
			if path != "" {
				target = filepath.Join(filepath.Dir(document), path)
			}
			info, err := os.Stat(filepath.Join(root(t), target))
			switch {
			case err != nil:
				t.Errorf("%s: %s leads nowhere", document, to)
			case fragment != "" && !info.IsDir() && !anchors(t, target)[fragment]:
				t.Errorf("%s: %s has no such heading", document, to)
			}
		})
	}
}
