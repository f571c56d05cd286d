package main

import (
	"math"
	"slices"
	"sort"
)

// summary describes what a contestant's repeated runs took: times in milliseconds.
type summary struct {
	N      int     `json:"n"`
	Median float64 `json:"median"`
	P99    float64 `json:"p99"`
	P10    float64 `json:"p10"` // at the host's better moments
	Q1     float64 `json:"q1"`
	Q3     float64 `json:"q3"`
}

func summarize(values []float64) summary {
	v := append([]float64(nil), values...)
	sort.Float64s(v)
	return summary{
		N: len(v), Median: quantile(v, 0.5), P99: quantile(v, 0.99), P10: quantile(v, 0.1),
		Q1: quantile(v, 0.25), Q3: quantile(v, 0.75),
	}
}

// quantile returns a quantile of sorted values. It interpolates between two of them.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	at := q * float64(len(sorted)-1)
	low := int(math.Floor(at))
	if low+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[low] + (at-float64(low))*(sorted[low+1]-sorted[low])
}

// median returns the median of unsorted values.
func median(values []float64) float64 { return summarize(values).Median }

func least(values []float64) int64 {
	if len(values) == 0 {
		return 0
	}
	return int64(slices.Min(values))
}
