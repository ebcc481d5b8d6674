package docs

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const workflow = ".github/workflows/release.yml"

// What a release is made with can't be changed by others: actions are named by commit, with the version beside it, and
// images by digest.
func TestReleaseIsPinned(t *testing.T) {
	source := string(read(t, workflow))
	uses := regexp.MustCompile(`(?m)^\s*(?:- )?uses: (.*)$`).FindAllStringSubmatch(source, -1)
	if len(uses) < 5 {
		t.Fatalf("only %d actions were found", len(uses))
	}
	commits := map[string]string{}
	for _, use := range uses {
		name, commit, _ := strings.Cut(use[1], "@")
		if !regexp.MustCompile(`^[0-9a-f]{40} # v\d+\.\d+\.\d+$`).MatchString(commit) {
			t.Errorf("%s is not named by commit and version", use[1])
		}
		if before, has := commits[name]; has && before != commit {
			t.Errorf("%s is used in two versions", name)
		}
		commits[name] = commit
	}
	pinned := regexp.MustCompile(`^[a-z0-9:.-]+@sha256:[0-9a-f]{64}$`)
	for _, image := range regexp.MustCompile(`(?m)^\s*(?:container|image): (.*)$`).FindAllStringSubmatch(source, -1) {
		if !pinned.MatchString(image[1]) {
			t.Errorf("%s is not named by digest", image[1])
		}
	}
	files, err := filepath.Glob(filepath.Join(root(t), "docker", "Dockerfile*"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, file := range files {
		name := filepath.Join("docker", filepath.Base(file))
		source := string(read(t, name))
		arguments := map[string]string{}
		for _, arg := range regexp.MustCompile(`(?m)^ARG ([A-Z]+)=(.*)$`).FindAllStringSubmatch(source, -1) {
			arguments["${"+arg[1]+"}"] = arg[2]
		}
		for _, from := range regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllStringSubmatch(source, -1) {
			image := from[1]
			for name, value := range arguments {
				image = strings.ReplaceAll(image, name, value)
			}
			if !pinned.MatchString(image) {
				t.Errorf("%s: %s is not named by digest", name, image)
			}
		}
	}
}

// docs/release.md says of each command and each job whether the workflow has it.
func TestReleasePage(t *testing.T) {
	page, source := string(read(t, "docs/release.md")), string(read(t, workflow))
	commands := regexp.MustCompile("(?m)^ *\\| `([^`]*)`.*\\| (yes|no) \\|$").FindAllStringSubmatch(page, -1)
	if len(commands) < 6 {
		t.Fatalf("only %d commands were found", len(commands))
	}
	for _, c := range commands {
		ran := regexp.MustCompile(`(?m)run: .*` + regexp.QuoteMeta(c[1]) + `( |$)`).MatchString(source)
		if ran != (c[2] == "yes") {
			t.Errorf("the page says %q of %s", c[2], c[1])
		}
	}
	var said, are []string
	for _, job := range regexp.MustCompile("(?m)^\\| `([a-z]+)` \\|").FindAllStringSubmatch(page, -1) {
		said = append(said, job[1])
	}
	_, jobs, _ := strings.Cut(source, "\njobs:\n")
	for _, job := range regexp.MustCompile(`(?m)^ {2}([a-z]+):$`).FindAllStringSubmatch(jobs, -1) {
		are = append(are, job[1])
	}
	if !slices.Equal(said, are) {
		t.Errorf("the page has the jobs %q, and the workflow %q", said, are)
	}
}
