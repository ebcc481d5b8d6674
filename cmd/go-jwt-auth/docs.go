package main

import (
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// newDocs writes what packages ship: man pages and completions.
func newDocs() *cobra.Command {
	return &cobra.Command{
		Use:    "docs FOLDER",
		Short:  "Write the man pages and shell completions into a folder",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			man := filepath.Join(args[0], "man")
			completion := filepath.Join(args[0], "completion")
			for _, folder := range []string{man, completion} {
				if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // they are public
					return err
				}
			}
			header := &doc.GenManHeader{Section: "1", Source: "go_jwt_auth " + root.Version, Manual: "go-jwt-auth", Date: new(releaseDate())}
			if err := doc.GenManTree(root, header, man); err != nil {
				return err
			}
			name := root.Name()
			for _, write := range []func() error{
				func() error { return root.GenBashCompletionFileV2(filepath.Join(completion, name+".bash"), true) },
				func() error { return root.GenZshCompletionFile(filepath.Join(completion, "_"+name)) },
				func() error { return root.GenFishCompletionFile(filepath.Join(completion, name+".fish"), true) },
			} {
				if err := write(); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// releaseDate is SOURCE_DATE_EPOCH (reproducible-builds.org), which the build takes from the commit.
func releaseDate() time.Time {
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		seconds = 0
	}
	return time.Unix(seconds, 0).UTC()
}
