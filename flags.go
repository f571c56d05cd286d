package main

import "strings"

// Errors of the library name its options in Go: "option ConsoleSocket". Users of davit know only
// the flags.

// withFlags returns a text of the library with flags in place of options.
func withFlags(text string) string {
	if !strings.Contains(text, "option ") {
		return text
	}
	return strings.NewReplacer(
		"option Bundle", "--bundle", "option Config", "--config", "option ConsoleSocket", "--console-socket", "option Detach", "--detach",
		"option IgnorePaused", "--ignore-paused", "option NoCgroup", "--cgroup-manager disabled", "option NoNewKeyring", "--no-new-keyring",
		"option NoPivot", "--no-pivot", "option Notify", "NOTIFY_SOCKET", "option PidFile", "--pid-file", "option PidfdSocket", "--pidfd-socket",
		"option PreserveFDs", "--preserve-fds", "option Process", "--process", "option Root", "--root",
		"option EmptyNS", "--empty-ns",
		"option ExtUnixSk", "--ext-unix-sk",
		"option LSMMountContext", "--lsm-mount-context",
		"option LSMProfile", "--lsm-profile",
		"option FileLocks", "--file-locks",
		"option ImagePath", "--image-path",
		"option LazyPages", "--lazy-pages",
		"option LinkRemap", "--link-remap",
		"option CgroupsMode", "--manage-cgroups-mode",
		"option NetworkLock", "--network-lock",
		"option PageServer", "--page-server",
		"option ParentPath", "--parent-path",
		"option PreDump", "--pre-dump",
		"option ShellJob", "--shell-job",
		"option TCPClose", "--tcp-close",
		"option TCPEstablished", "--tcp-established",
		"option TCPSkipInFlight", "--tcp-skip-in-flight",
		"option WorkPath", "--work-path",
		"option SubCgroups", "--cgroup", "option SystemdCgroup", "--systemd-cgroup", "option Trace", "--trace",
	).Replace(text)
}
