package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// printSideBySide prints, for each scenario that several subjects have run, their figures side by side and how many times the first one's
// the others' are.
func printSideBySide(w io.Writer, reports []*Report) {
	for i, first := range reports {
		about := func(r *Report) bool { return r.Scenario == first.Scenario }
		if slices.ContainsFunc(reports[:i], about) {
			continue
		}
		var others []*Report
		for _, r := range reports[i+1:] {
			if about(r) {
				others = append(others, r)
			}
		}
		if len(others) > 0 {
			sideBySide(w, first, others)
		}
	}
}

func sideBySide(w io.Writer, first *Report, others []*Report) {
	fmt.Fprintf(w, "\n%s, side by side\n\n", first.Scenario)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer func() { _ = tw.Flush() }()
	fmt.Fprintf(tw, "\t%s\t", first.Subject)
	for _, other := range others {
		fmt.Fprintf(tw, "%s\ttimes\t", other.Subject)
	}
	fmt.Fprintln(tw)
	for _, f := range first.Figures {
		if strings.HasPrefix(f.Name, kubernetes) {
			continue // each asks in its own way; the sums are figures of their own
		}
		row, shared := fmt.Sprintf("%s, %s\t%.4g\t", f.Name, f.Unit, f.Value), false
		for _, other := range others {
			value, ok := other.figure(f.Name)
			switch {
			case !ok:
				row += "\t\t"
			case f.Value == 0:
				row += fmt.Sprintf("%.4g\t\t", value)
			default:
				row += fmt.Sprintf("%.4g\t%.2f\t", value, value/f.Value)
			}
			shared = shared || ok
		}
		if shared {
			fmt.Fprintln(tw, row)
		}
	}
}

// figure returns a figure by its name.
func (r *Report) figure(name string) (value float64, ok bool) {
	for _, f := range r.Figures {
		if f.Name == name {
			return f.Value, true
		}
	}
	return 0, false
}
