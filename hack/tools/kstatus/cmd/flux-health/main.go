// Command flux-health reads health check expressions and objects from standard input, as one JSON document,
// and prints the status of each object as Flux finds it by those expressions, one a line.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"

	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func main() {
	log.SetFlags(0)
	var asked struct {
		Expressions kustomize.HealthCheckExpressions `json:"expressions"`
		Objects     []json.RawMessage                `json:"objects"`
	}
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		log.Fatal(err)
	}
	evaluator, err := cel.NewStatusEvaluator(&asked.Expressions)
	if err != nil {
		log.Fatal(err)
	}
	for _, raw := range asked.Objects {
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(raw); err != nil {
			log.Fatal(err)
		}
		found, err := evaluator.Evaluate(context.Background(), object)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(found.Status)
	}
}
