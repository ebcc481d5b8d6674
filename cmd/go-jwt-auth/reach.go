package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"go-jwt-auth/cmd/internal/control"
)

// Environment variables in the place of flags.
const (
	tokenVariable = "GO_JWT_AUTH_TOKEN"
	urlVariable   = "GO_JWT_AUTH_URL"
)

const defaultURL = "mqtt://localhost:1883"

// reach is how a running broker is reached, and as whom.
type reach struct {
	url, caFile, certFile, keyFile string
	tokenFile, admin, passwordFile string
}

// flags adds those that say so.
func (r *reach) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.url, "url", "", "the broker: mqtt://, mqtts://, ws:// or wss://HOST[:PORT] ("+urlVariable+", or "+defaultURL+")")
	cmd.Flags().StringVar(&r.tokenFile, "token-file", "", `log in by the token in this file, "-" for standard input (`+tokenVariable+")")
	cmd.Flags().StringVar(&r.admin, "admin", "", "log in with this username")
	cmd.Flags().StringVar(&r.passwordFile, "password-file", "", `log in with the password in this file, "-" for standard input`)
	cmd.Flags().StringVar(&r.caFile, "ca-file", "", "a private certificate authority, in PEM")
	cmd.Flags().StringVar(&r.certFile, "cert-file", "", "a client certificate, in PEM")
	cmd.Flags().StringVar(&r.keyFile, "key-file", "", "its key, in PEM")
	cmd.MarkFlagsMutuallyExclusive("token-file", "password-file")
}

// usesInput tells whether standard input is taken.
func (r *reach) usesInput() bool { return r.tokenFile == "-" || r.passwordFile == "-" }

// open returns a client, which has not connected yet.
func (c *console) open(cmd *cobra.Command, r reach) (*control.Client, error) {
	o := control.Options{
		URL:    cmp.Or(r.url, os.Getenv(urlVariable), defaultURL),
		CAFile: r.caFile, CertFile: r.certFile, KeyFile: r.keyFile, Pause: c.pause, Patience: c.patience,
	}
	if cmd.Flags().Changed("admin") {
		o.Username = &r.admin
	}
	var err error
	switch {
	case r.tokenFile != "":
		o.Password, err = c.secretFrom("--token-file", r.tokenFile)
	case r.passwordFile != "":
		o.Password, err = c.secretFrom("--password-file", r.passwordFile)
	case os.Getenv(tokenVariable) != "":
		o.Password = func() (string, error) { return os.Getenv(tokenVariable), nil }
	case o.Username != nil && r.certFile == "":
		err = errors.New("--admin needs --password-file or --token-file")
	}
	if err != nil {
		return nil, err
	}
	client, err := control.New(o)
	if err == nil && client.Plaintext() && o.Password != nil {
		c.tell("%s\n", c.doubtful.of("note: %s: token or password go there unencrypted, for everybody on the way to read; mqtts:// and wss:// encrypt them", client.URL()))
	}
	return client, err
}

// secretFrom returns what reads a token or password: a file anew for each connection, since a token in it may have been renewed.
func (c *console) secretFrom(flag, name string) (func() (string, error), error) {
	read := func() (string, error) {
		file := c.in
		if name != "-" {
			f, err := os.Open(name)
			if err != nil {
				return "", fmt.Errorf("%s: %w", flag, err)
			}
			defer func() { _ = f.Close() }() // only read
			file = f
		}
		text, err := io.ReadAll(io.LimitReader(file, maxInput+1))
		secret := strings.TrimRight(string(text), "\r\n")
		switch {
		case err != nil:
			return "", fmt.Errorf("%s: %w", flag, err)
		case secret == "":
			return "", fmt.Errorf("%s: it is empty", flag)
		case len(secret) > maxInput:
			return "", fmt.Errorf("%s: it is longer than MQTT carries (%d bytes)", flag, maxInput)
		}
		return secret, nil
	}
	if name != "-" {
		return read, nil
	}
	secret, err := read()
	return func() (string, error) { return secret, nil }, err
}

// clock is the time, which tests set.
func (c *console) clock() time.Time {
	if c.now != nil {
		return c.now()
	}
	return time.Now()
}

// loginHelp is what each command that asks a broker says.
const loginHelp = `It logs in by the token in --token-file or the environment variable GO_JWT_AUTH_TOKEN, by --admin and --password-file, or by a client
certificate; there is no flag for a secret itself, since every user of the machine sees command lines. The broker's address is --url, or
the environment variable GO_JWT_AUTH_URL.`
