package rootfs

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// options are the options of a mount, sorted by who applies them.
type options struct {
	flags       uint64 // MS_*, for a new filesystem
	set, clear  uint64 // MOUNT_ATTR_*, for the mount itself
	recSet      uint64 // the same, for it and all mounts below
	recClear    uint64
	propagation uint64 // MS_*
	bind        bool
	recursive   bool // rbind
	idmap       bool
	ridmap      bool
	maps        string // of idmap=
	sourceLink  bool   // src-nofollow
	targetLink  bool   // dest-nofollow
	copyLink    bool   // copy-symlink
	copyUp      bool
	remount     bool
	noFollow    bool     // no option: davit shows the host's own /proc, /sys, /dev/mqueue or cgroups
	words       []string // options that concern a whole filesystem, in order
	flagged     bool     // an option of the mount itself, or of its whole filesystem, was given
	accessTimes bool     // one that sets how access times are kept
	data        string
}

// option is the meaning of one word of the options (config.md "Linux mount options").
type option struct {
	flag  uint64 // MS_* to set
	off   uint64 // MS_* to clear
	set   uint64 // MOUNT_ATTR_* to set
	clear uint64 // MOUNT_ATTR_* to clear
}

const atime = unix.MOUNT_ATTR__ATIME

// lookup returns the meaning of a word. It is a switch and not a map, because a map would be built at every start.
func lookup(name string) (option, bool) {
	switch name {
	case "ro":
		return option{flag: unix.MS_RDONLY, set: unix.MOUNT_ATTR_RDONLY}, true
	case "rw":
		return option{off: unix.MS_RDONLY, clear: unix.MOUNT_ATTR_RDONLY}, true
	case "nosuid":
		return option{flag: unix.MS_NOSUID, set: unix.MOUNT_ATTR_NOSUID}, true
	case "suid":
		return option{off: unix.MS_NOSUID, clear: unix.MOUNT_ATTR_NOSUID}, true
	case "nodev":
		return option{flag: unix.MS_NODEV, set: unix.MOUNT_ATTR_NODEV}, true
	case "dev":
		return option{off: unix.MS_NODEV, clear: unix.MOUNT_ATTR_NODEV}, true
	case "noexec":
		return option{flag: unix.MS_NOEXEC, set: unix.MOUNT_ATTR_NOEXEC}, true
	case "exec":
		return option{off: unix.MS_NOEXEC, clear: unix.MOUNT_ATTR_NOEXEC}, true
	case "nodiratime":
		return option{flag: unix.MS_NODIRATIME, set: unix.MOUNT_ATTR_NODIRATIME}, true
	case "diratime":
		return option{off: unix.MS_NODIRATIME, clear: unix.MOUNT_ATTR_NODIRATIME}, true
	case "noatime":
		return option{flag: unix.MS_NOATIME, off: unix.MS_RELATIME | unix.MS_STRICTATIME, set: unix.MOUNT_ATTR_NOATIME, clear: atime}, true
	case "relatime":
		return option{flag: unix.MS_RELATIME, off: unix.MS_NOATIME | unix.MS_STRICTATIME, set: unix.MOUNT_ATTR_RELATIME, clear: atime}, true
	case "strictatime":
		return option{flag: unix.MS_STRICTATIME, off: unix.MS_NOATIME | unix.MS_RELATIME, set: unix.MOUNT_ATTR_STRICTATIME, clear: atime}, true
	case "atime": // the kernel's default, which is relatime
		return option{off: unix.MS_NOATIME, clear: atime}, true
	case "norelatime":
		return option{off: unix.MS_RELATIME, clear: atime}, true
	case "nostrictatime":
		return option{off: unix.MS_STRICTATIME, clear: atime}, true
	case "nosymfollow":
		return option{flag: unix.MS_NOSYMFOLLOW, set: unix.MOUNT_ATTR_NOSYMFOLLOW}, true
	case "symfollow":
		return option{off: unix.MS_NOSYMFOLLOW, clear: unix.MOUNT_ATTR_NOSYMFOLLOW}, true
	case "defaults":
		return option{}, true
	}
	return option{}, false
}

// superblockFlag returns the flag of a word that concerns the whole filesystem.
func superblockFlag(name string) (flag, off uint64, ok bool) {
	switch name {
	case "sync":
		return unix.MS_SYNCHRONOUS, 0, true
	case "async":
		return 0, unix.MS_SYNCHRONOUS, true
	case "dirsync":
		return unix.MS_DIRSYNC, 0, true
	case "mand":
		return unix.MS_MANDLOCK, 0, true
	case "nomand":
		return 0, unix.MS_MANDLOCK, true
	case "iversion":
		return unix.MS_I_VERSION, 0, true
	case "noiversion":
		return 0, unix.MS_I_VERSION, true
	case "lazytime":
		return unix.MS_LAZYTIME, 0, true
	case "nolazytime":
		return 0, unix.MS_LAZYTIME, true
	case "silent":
		return unix.MS_SILENT, 0, true
	case "loud":
		return 0, unix.MS_SILENT, true
	case "acl":
		return unix.MS_POSIXACL, 0, true
	case "noacl":
		return 0, unix.MS_POSIXACL, true
	}
	return 0, 0, false
}

// Propagation returns the MS_* flags for the name of a propagation, such as "rslave".
func Propagation(name string) (uint64, bool) {
	rec := uint64(0)
	if strings.HasPrefix(name, "r") {
		rec, name = unix.MS_REC, name[1:]
	}
	switch name {
	case "private":
		return unix.MS_PRIVATE | rec, true
	case "shared":
		return unix.MS_SHARED | rec, true
	case "slave":
		return unix.MS_SLAVE | rec, true
	case "unbindable":
		return unix.MS_UNBINDABLE | rec, true
	}
	return 0, false
}

// parse sorts the options of one mount. Unknown words are passed on to the filesystem.
func parse(list []string) (options, error) {
	var o options
	data := make([]string, 0, len(list))
	for _, word := range list {
		if word == "" || o.special(word) { // "" is ignored by runc and crun, too
			continue
		}
		if p, ok := Propagation(word); ok {
			if o.propagation != 0 && o.propagation != p {
				return o, fmt.Errorf("%q contradicts the propagation given before it", word)
			}
			o.propagation = p
		} else if f, off, ok := superblockFlag(word); ok {
			o.flags = o.flags&^off | f
			o.words = append(o.words, word)
			o.flagged = true
		} else if k, ok := lookup(word); ok {
			o.flagged = o.flagged || k != option{}
			o.accessTimes = o.accessTimes || k.flag&(unix.MS_NOATIME|unix.MS_RELATIME|unix.MS_STRICTATIME|unix.MS_NODIRATIME) != 0
			o.flags = o.flags&^k.off | k.flag
			o.set = o.set&^k.clear | k.set
			o.clear = o.clear&^k.set | k.clear
		} else if k, ok := lookup(strings.TrimPrefix(word, "r")); ok && word != "rdefaults" && word[0] == 'r' {
			o.recSet = o.recSet&^k.clear | k.set
			o.recClear = o.recClear&^k.set | k.clear
		} else {
			data = append(data, word)
		}
	}
	o.data = strings.Join(data, ",")
	return o, nil
}

func (o *options) special(word string) bool {
	switch word {
	case "bind":
		o.bind = true
	case "rbind":
		o.bind, o.recursive = true, true
	case "idmap":
		o.idmap = true
	case "ridmap":
		o.idmap, o.ridmap = true, true
	case "tmpcopyup":
		o.copyUp = true
	case "remount":
		o.remount = true
	case "src-nofollow":
		o.sourceLink = true
	case "dest-nofollow":
		o.targetLink = true
	case "copy-symlink":
		o.copyLink = true
	default:
		name, maps, ok := strings.Cut(word, "=")
		if !ok || name != "idmap" && name != "ridmap" {
			return false
		}
		o.idmap, o.ridmap, o.maps = true, name == "ridmap", maps
	}
	return true
}

// top returns the attributes of the mount alone. What the recursive ones say holds for it, too, in whatever
// order they are given: as with runc.
func (o *options) top() (set, clear uint64) {
	recursive := o.recSet | o.recClear
	return o.set &^ recursive, o.clear &^ recursive
}

// dropped returns the attributes of the source that a bind mount does not keep: with an option that sets or clears
// a flag the mount has the flags of its options, and without any those of its source, as with runc. How access
// times are kept stays unless an option says it.
func (o *options) dropped() uint64 {
	if !o.flagged {
		return 0
	}
	drop := uint64(unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC | unix.MOUNT_ATTR_NOSYMFOLLOW)
	if o.accessTimes {
		drop |= unix.MOUNT_ATTR_NODIRATIME
		if o.clear&atime == 0 { // nodiratime alone: the kernel's default beside it
			drop |= atime
		}
	}
	if (o.recSet|o.recClear)&atime != 0 {
		drop &^= atime
	}
	return drop &^ (o.set | o.clear&^atime | o.recSet | o.recClear)
}
