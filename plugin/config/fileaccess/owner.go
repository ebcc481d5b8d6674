package fileaccess

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// Process names the user that the broker runs as: after start-up as root it is usually another.
func Process() string {
	return fmt.Sprintf("this process runs as user %s (uid %d)", userName(), os.Geteuid())
}

// userName is the effective user's name, or its number where it has none, as in containers.
func userName() string { return nameOfUser(os.Geteuid()) }

func nameOfUser(uid int) string {
	id := strconv.Itoa(uid)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

func nameOfGroup(gid int) string {
	id := strconv.Itoa(gid)
	if g, err := user.LookupGroupId(id); err == nil {
		return g.Name
	}
	return id
}

// ownership is `owner root (uid 0), group root, mode 0600`.
func ownership(info fs.FileInfo) string {
	mode := info.Mode().Perm()
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Sprintf("mode %04o", mode)
	}
	return fmt.Sprintf("owner %s (uid %d), group %s, mode %04o",
		nameOfUser(int(stat.Uid)), stat.Uid, nameOfGroup(int(stat.Gid)), mode)
}
