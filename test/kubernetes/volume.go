package kubernetes

import (
	"crypto/rand"
	"os"
	"path/filepath"
)

// Project writes the files of a projected volume into folder, as the kubelet does: each is a link through ..data, which leads
// to a folder that is new for each writing and replaced at once. The files' names must be the same each time.
func Project(folder string, files map[string]string) error {
	const data, next = "..data", "..data_tmp"
	now := "..2026_11_29_12_00_00." + rand.Text()
	if err := os.MkdirAll(filepath.Join(folder, now), 0o755); err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(folder, now, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	before, _ := os.Readlink(filepath.Join(folder, data)) // none at first
	if err := os.Symlink(now, filepath.Join(folder, next)); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(folder, next), filepath.Join(folder, data)); err != nil {
		return err
	}
	if before != "" {
		return os.RemoveAll(filepath.Join(folder, before))
	}
	for name := range files {
		if err := os.Symlink(filepath.Join(data, name), filepath.Join(folder, name)); err != nil {
			return err
		}
	}
	return nil
}
