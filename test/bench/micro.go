package main

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// rooms are the packages with benchmarks.
var rooms = []string{"./plugin", "./plugin/chain", "./plugin/token", "./plugin/session"}

// chosen are all of them, but for those with 100,000 sessions, of which one tells their size and the others take long.
const chosen = "^Benchmark[^H]|^BenchmarkHundredThousandSessions$/^admit"

func (r *rig) micro() trial {
	return trial{part: partMicro, name: benchmarks, run: func(st *stand) sample {
		duration := "300ms"
		if r.quick {
			duration = "20ms"
		}
		test := exec.Command("go", append([]string{"test", "-run", "^$", "-bench", chosen, "-benchmem", "-vet", "off", "-benchtime", duration}, rooms...)...)
		test.Dir = r.root
		test.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := test.CombinedOutput()
		if err != nil {
			st.Fatalf("bench: %v\n%s", err, out)
		}
		return parseBenchmarks(string(out))
	}}
}

// processors is what go test appends to a benchmark's name.
var processors = regexp.MustCompile(`-\d+$`)

// parseBenchmarks reads what go test prints: a name, how often it ran, and numbers with their units.
func parseBenchmarks(text string) sample {
	s := sample{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := processors.ReplaceAllString(fields[0], "")
		for i := 2; i+1 < len(fields); i += 2 {
			if value, err := strconv.ParseFloat(fields[i], 64); err == nil {
				s[microName(name, fields[i+1])] = value
			}
		}
	}
	return s
}
