// Command demo shows what the plugin does: it starts an identity provider and a broker with the plugin on loopback, lets
// clients with good and bad tokens at it, tells what came back, and stops everything again. `make demo` builds the
// plugin and runs it.
//
// It exits with 0 only if all happened as told in scenes.go. With KEEP=1 in the environment it leaves the broker running
// after the last scene, prints commands to try by hand, and waits for Ctrl-C.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"go-jwt-auth/test/brokers"
)

func main() {
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// Whoever reads us may have gone; what was started is stopped all the same.
	signal.Ignore(syscall.SIGPIPE)
	version, err := installed()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(show(ctx, newScreen(os.Stdout), options{version: version, scenes: scenes, keep: os.Getenv("KEEP") == "1"}))
}

// installed is the distribution's broker, which it installs where it is missing.
func installed() (brokers.Version, error) {
	version, missing := brokers.Installed()
	if missing != nil {
		root, err := brokers.Root()
		if err != nil {
			return version, err
		}
		// No signal of ours ends it: a package manager is better not stopped half-way.
		install := exec.Command(filepath.Join(root, ".ci", "apt-install"), "mosquitto", "mosquitto-clients")
		install.Stdin, install.Stdout, install.Stderr = os.Stdin, os.Stdout, os.Stderr
		if err := install.Run(); err != nil {
			return version, errors.Join(missing, fmt.Errorf("demo: and could not be installed: %w", err))
		}
		if version, missing = brokers.Installed(); missing != nil {
			return version, fmt.Errorf("demo: the distribution's Mosquitto lacks something: %w", missing)
		}
	}
	if !version.AtLeast(2, 0) {
		return version, fmt.Errorf("demo: Mosquitto 2.0.11 or later is needed, and %s is %s", version.Broker[0], version.Name)
	}
	return version, nil
}
