package main

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"go-jwt-auth/cmd/internal/control"
	"go-jwt-auth/cmd/internal/ui"
	"go-jwt-auth/plugin"
)

// pageAddress is what ui prints, once for each page that is to be opened.
type pageAddress struct {
	Address string `json:"address"`
}

func newUI(c *console) *cobra.Command {
	var r reach
	var listen string
	var noOpen bool
	cmd := &cobra.Command{
		Use:   "ui",
		Short: "Show in a browser who is connected and who was refused",
		Long: `ui serves a page until it is interrupted: who is connected, by which token, until when and with which rights; who was refused, why, and
what to do about it; how the identity providers are; and a button that disconnects, after a question.

The page may do what the admin may whose login this is. So it listens on loopback addresses alone, and the address that it prints holds a
secret by which a page is opened, once: a line with another address follows. Neither the page nor the address holds the admin's password
or token. On a desktop the first address is opened by itself, but for root, unless --no-open is given.

For the browser of another machine, have ssh bring the port there, and open the address that is printed:

  ssh -L 7070:127.0.0.1:7070 broker.example.com go-jwt-auth ui --listen 127.0.0.1:7070 --token-file token.txt

` + loginHelp,
		Example: `  go-jwt-auth ui --token-file token.txt
  go-jwt-auth ui --url mqtts://broker.example.com --admin ops --password-file password.txt --no-open`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := c.open(cmd, r)
			if err != nil {
				return err
			}
			defer client.Close()
			// What will not change by itself is said here. A broker that is not there may come, and the page says so meanwhile.
			if _, err := client.GetStatus(cmd.Context()); err != nil {
				if !control.Passes(err) {
					return err
				}
				c.tell("%s\n", c.doubtful.of("note: %s; the page tries it again and again", err))
			}
			first, opener := true, opener()
			opens := opener != nil && !noOpen
			server, err := ui.Listen(ui.Options{Listen: listen, Client: client, Version: plugin.Version, Opens: opens, Address: func(address string) {
				if first && opens {
					open := browser(cmd.Context(), append(opener, address))
					if open.Start() == nil {
						go func() { _ = open.Wait() }()
					}
				}
				if first {
					c.printf("Open this address in a browser of this machine. It works once:\n\n    %s\n\n", c.good.of("%s", address))
				} else {
					c.printf("A page was opened. The address for another one:\n\n    %s\n\n", address)
				}
				first = false
				_ = c.object(pageAddress{address}) // where nobody reads it, nobody opens it
			}})
			if err != nil {
				return err
			}
			return server.Serve(cmd.Context())
		},
	}
	r.flags(cmd)
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "loopback address and port of the page; port 0: a free one")
	cmd.Flags().BoolVar(&noOpen, "no-open", false, "do not open a browser")
	return cmd
}

// opener is the command that opens an address in the desktop's browser; nil: there is no desktop, or none that a page is known to be
// the same user's on. Other users may see the address in the list of processes: so it is for this user's programs alone (ui.Options).
func opener() []string {
	if runtime.GOOS != "linux" || os.Geteuid() == 0 || os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "" {
		return nil
	}
	return []string{"xdg-open"}
}

// browser is the command that opens one, which is not given the admin's token.
func browser(ctx context.Context, args []string) *exec.Cmd {
	cmd := exec.CommandContext(context.WithoutCancel(ctx), args[0], args[1:]...) //nolint:gosec // our own address
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, tokenVariable+"=") })
	return cmd
}
