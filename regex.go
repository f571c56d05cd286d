package main

import (
	"errors"
	"fmt"
	"regexp"

	"davit/internal/cli"
)

func regexFlag() cli.Flag {
	return &cli.BoolFlag{Name: "regex", Aliases: []string{"r"}, Usage: "CONTAINER is an extended regular expression (regex(7)) for a part of the id"}
}

// forEach calls do for the container, or with --regex for each container whose id matches. As with
// crun, it is no error if none matches. If do fails for one container, the others still follow.
func forEach(c *cli.Context, id string, do func(id string) error) error {
	if !c.Bool("regex") {
		return do(id)
	}
	pattern, err := regexp.CompilePOSIX(id)
	if err != nil {
		return usage(fmt.Errorf("--regex: %w", err))
	}
	ids, err := newRuntime(c).List()
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range ids {
		if !pattern.MatchString(id) {
			continue
		}
		if err := do(id); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}
