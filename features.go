package main

import (
	"davit/internal/cli"
	"davit/internal/config/featuresjson"
	"davit/internal/inspect"
	"davit/internal/jsonx"
)

func featuresCommand() *cli.Command {
	return &cli.Command{
		Name:  "features",
		Usage: "print the features of this build of davit, in the form of runtime-spec's features.md",
		Description: `example:
  davit features`,
		Action: verb(func(c *cli.Context) error {
			if err := arguments(c, 0, 0); err != nil {
				return err
			}
			e := jsonx.Encoder{Indent: "    "}
			f := inspect.Features(version, commit)
			asAnother(f.Annotations)
			featuresjson.EncodeFeatures(&e, f)
			return printLine(&e)
		}),
	}
}

// asAnother adds the annotations of crun or runc, if davit is called by that name.
func asAnother(annotations map[string]string) {
	prefix, ok := map[string]string{"crun": "run.oci.crun.", "runc": "org.opencontainers.runc."}[programName()]
	if !ok {
		return
	}
	annotations[prefix+"version"] = version
	annotations[prefix+"checkpoint.enabled"] = "true"
	if commit != "" {
		annotations[prefix+"commit"] = commit
	}
}
