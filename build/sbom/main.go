// Sbom writes a bill of materials (SPDX 2.3, JSON) of a davit that was built. It lists the Go
// modules that the program's build information names, Go, and the Debian packages that its C
// programs are linked from.
//
//	go run ./build/sbom PROGRAM ARCH VERSION [PACKAGE VERSION]... >FILE
//
// The same program gives the same bytes: $SOURCE_DATE_EPOCH sets the time.
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// licenses has the license of each part that is linked in, as NOTICE lists them.
var licenses = map[string]string{
	"github.com/containerd/console":                "Apache-2.0",
	"github.com/opencontainers/runtime-spec":       "Apache-2.0",
	"github.com/pelletier/go-toml/v2":              "MIT",
	"github.com/vishvananda/netlink":               "Apache-2.0",
	"github.com/vishvananda/netns":                 "Apache-2.0",
	"github.com/aperturerobotics/protobuf-go-lite": "BSD-3-Clause",
	"github.com/checkpoint-restore/go-criu/v8":     "Apache-2.0",
	"golang.org/x/sys":                             "BSD-3-Clause",
	"libseccomp-dev":                               "LGPL-2.1-only",
	"libc6-dev":                                    "LGPL-2.1-or-later",
}

type pkg struct {
	ID        string     `json:"SPDXID"`
	Name      string     `json:"name"`
	Version   string     `json:"versionInfo"`
	Location  string     `json:"downloadLocation"`
	Analyzed  bool       `json:"filesAnalyzed"`
	Declared  string     `json:"licenseDeclared"`
	Copyright string     `json:"copyrightText"`
	Checksums []checksum `json:"checksums,omitempty"`
	Refs      []ref      `json:"externalRefs,omitempty"`
}

type checksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type ref struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type relation struct {
	From string `json:"spdxElementId"`
	Kind string `json:"relationshipType"`
	To   string `json:"relatedSpdxElement"`
}

func main() {
	if len(os.Args) < 4 || len(os.Args)%2 != 0 {
		fmt.Fprintln(os.Stderr, "usage: sbom PROGRAM ARCH VERSION [PACKAGE VERSION]...")
		os.Exit(2)
	}
	if err := write(os.Args[1], os.Args[2], os.Args[3], os.Args[4:]); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func write(program, arch, version string, linked []string) error {
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return err
	}
	epoch, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	sum := sha256.Sum256(content)
	digest := hex.EncodeToString(sum[:])
	packages := []pkg{{ID: "SPDXRef-davit", Name: "davit", Version: version, Declared: "Apache-2.0",
		Checksums: []checksum{{"SHA256", digest}}}}
	packages = append(packages, pkg{Name: "go", Version: strings.TrimPrefix(info.GoVersion, "go"), Declared: "BSD-3-Clause",
		Refs: []ref{purl("pkg:golang/std@%s", strings.TrimPrefix(info.GoVersion, "go"))}})
	for _, m := range info.Deps {
		p := pkg{Name: m.Path, Version: m.Version, Refs: []ref{purl("pkg:golang/%s@%s", m.Path, m.Version)}}
		if p.Declared = licenses[m.Path]; p.Declared == "" {
			return fmt.Errorf("%s is linked in, and has no license in build/sbom and NOTICE", m.Path)
		}
		packages = append(packages, p)
	}
	for i := 0; i+1 < len(linked); i += 2 {
		name, version := linked[i], linked[i+1]
		p := pkg{Name: name, Version: version, Refs: []ref{purl("pkg:deb/debian/%s@%s", name, version)}}
		switch {
		case strings.HasPrefix(name, "gcc"):
			p.Declared = "GPL-3.0-or-later WITH GCC-exception-3.1"
		case strings.HasPrefix(name, "libc6-dev"):
			p.Declared = licenses["libc6-dev"]
		default:
			p.Declared = licenses[name]
		}
		if p.Declared == "" {
			return fmt.Errorf("%s is linked in, and has no license in build/sbom and NOTICE", name)
		}
		packages = append(packages, p)
	}
	relations := []relation{{"SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-davit"}}
	for i := range packages {
		p := &packages[i]
		p.Location, p.Copyright = "NOASSERTION", "NOASSERTION"
		if i > 0 {
			p.ID = fmt.Sprintf("SPDXRef-%d", i)
			relations = append(relations, relation{p.ID, "STATIC_LINK", "SPDXRef-davit"})
		}
	}
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", " ")
	return out.Encode(map[string]any{
		"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT",
		"name": "davit-" + version + "-linux-" + arch, "documentNamespace": "https://davit.invalid/spdx/" + digest,
		"creationInfo": map[string]any{"created": time.Unix(epoch, 0).UTC().Format(time.RFC3339), "creators": []string{"Tool: davit-build-sbom"}},
		"packages":     packages, "relationships": relations,
	})
}

func purl(format string, values ...any) ref {
	return ref{"PACKAGE-MANAGER", "purl", fmt.Sprintf(format, values...)}
}
