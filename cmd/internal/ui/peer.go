package ui

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// fromMyUser tells whether a request comes from a process of the user whose this one is, by Linux' list of connections
// (proc(5), /proc/net/tcp). What the list does not tell is a no.
func fromMyUser(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(interface{ String() string })
	if !ok {
		return false
	}
	server, err := netip.ParseAddrPort(local.String())
	if err != nil {
		return false
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	uid, found := ownerOf(peer, server)
	return found && uid == os.Getuid()
}

// ownerOf is the user that has opened the connection between two addresses of this machine at the first one's end.
func ownerOf(from, to netip.AddrPort) (uid int, found bool) {
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		file, err := os.Open(name)
		if err != nil {
			continue
		}
		lines := bufio.NewScanner(file)
		for !found && lines.Scan() { // sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid …
			f := strings.Fields(lines.Text())
			if len(f) < 8 || !isAt(f[1], from) || !isAt(f[2], to) {
				continue
			}
			uid, err = strconv.Atoi(f[7])
			found = err == nil
		}
		_ = file.Close() // only read
	}
	return uid, found
}

// isAt tells whether an address of that list is this one. An IPv4 address may stand there as an IPv6 one.
func isAt(text string, a netip.AddrPort) bool {
	ip := a.Addr().Unmap()
	if ip.Is4() && text == kernelText(ip.AsSlice(), a.Port()) {
		return true
	}
	of16 := ip.As16()
	return text == kernelText(of16[:], a.Port())
}

// kernelText writes an address as the kernel does: each four bytes as a number in the machine's order.
func kernelText(ip []byte, port uint16) string {
	var text strings.Builder
	for ; len(ip) >= 4; ip = ip[4:] {
		fmt.Fprintf(&text, "%08X", binary.NativeEndian.Uint32(ip))
	}
	fmt.Fprintf(&text, ":%04X", port)
	return text.String()
}
