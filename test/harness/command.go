package harness

import (
	"net/url"
	"slices"
)

// Pub starts mosquitto_pub, of the broker's version, for its i-th listener;
// args come after the address. Process.Wait waits for its end.
func (b *Broker) Pub(i int, args ...string) *Process {
	b.t.Helper()
	return b.command(b.Version.Pub, i, args)
}

// Sub starts mosquitto_sub likewise. It may hold back what it prints until it
// ends: WaitLog("Sending SUBACK to id") of the broker tells that it listens.
func (b *Broker) Sub(i int, args ...string) *Process {
	b.t.Helper()
	return b.command(b.Version.Sub, i, args)
}

// Ctrl runs mosquitto_ctrl as the administrator of a Dynsec, through the i-th
// listener, to its end: Ctrl(0, "dynsec", "listClients").
func (b *Broker) Ctrl(i int, args ...string) *Process {
	b.t.Helper()
	p := b.command(b.Version.Ctrl, i, slices.Concat([]string{"-u", AdminUser, "-P", AdminPassword}, args))
	p.Wait()
	return p
}

func (b *Broker) command(command []string, i int, args []string) *Process {
	b.t.Helper()
	return b.commandHeard(nil, command, i, args)
}

func (b *Broker) commandHeard(heard func(line string), command []string, i int, args []string) *Process {
	b.t.Helper()
	u, err := url.Parse(b.URL(i))
	if err != nil || u.Scheme != "mqtt" {
		b.t.Fatalf("harness: mosquitto's own clients need an MQTT listener, not %s", b.URL(i))
	}
	// They would read their defaults from the user's own configuration files.
	home := b.t.TempDir()
	return spawnHeard(b.t, heard, []string{"HOME=" + home, "XDG_CONFIG_HOME=" + home},
		slices.Concat(command, []string{"-h", u.Hostname(), "-p", u.Port()}, args)...)
}
