/* A TFLite delegate that plays an Edge TPU: it takes the operation "edgetpu-custom-op" and computes
 * the mean of each colour, uint8 in and uint8 out. That is all that the tests' model does.
 *
 * STUB_WRONG_AFTER=N  from the N-th inference on, the scores come out in reverse order
 * STUB_IDLE=1         takes nothing, as a delegate does that knows no such operation
 * STUB_NO_DEVICE=1    makes no delegate, as libedgetpu does where no chip is found
 *
 * Only the start of each structure of TensorFlow Lite's C interface (lite/core/c/common.h) is
 * declared, as far as it is used here; that part has been the same since 2019.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef enum { OK = 0, FAILED = 1 } Status;
typedef struct { int size; int data[]; } IntArray;

typedef struct {
  int type;
  void *data;
  IntArray *dims;
  struct { float scale; int32_t zero_point; } params;
  int allocation_type;
  size_t bytes;
  const void *allocation;
  const char *name;
  void *delegate;
  int buffer_handle;
  _Bool data_is_stale, is_variable;
  struct { int type; void *params; } quantization;
  void *sparsity;
  const IntArray *dims_signature;
} Tensor;

typedef struct {
  IntArray *inputs, *outputs;
} Node;

typedef struct Context Context;

typedef struct {
  void *(*init)(Context *, const char *, size_t);
  void (*free)(Context *, void *);
  Status (*prepare)(Context *, Node *);
  Status (*invoke)(Context *, Node *);
  const char *(*profiling)(const Context *, const Node *);
  int32_t builtin_code;
  const char *custom_name;
  int version;
  void *external, *async_kernel;
  uint64_t inplace;
} Registration;

struct Context {
  size_t num_tensors;
  Status (*execution_plan)(Context *, IntArray **);
  Tensor *tensors;
  void *impl;
  Status (*resize)(Context *, Tensor *, IntArray *);
  void (*report)(Context *, const char *, ...);
  Status (*add_tensors)(Context *, int, int *);
  Status (*node)(Context *, int, Node **, Registration **);
  Status (*replace)(Context *, Registration, const IntArray *, void *delegate);
};

typedef struct Delegate {
  void *data;
  Status (*prepare)(Context *, struct Delegate *);
  void *copy_from, *copy_to, *free_handle;
  int64_t flags;
  void *opaque;
} Delegate;

static long inferences = 0;

static long number(const char *name, long otherwise) {
  const char *text = getenv(name);
  return text ? atol(text) : otherwise;
}

static Status prepare_nothing(Context *context, Node *node) {
  (void)context;
  (void)node;
  return OK;
}

static Status mean_of_colours(Context *context, Node *node) {
  Tensor *image = &context->tensors[node->inputs->data[0]];
  Tensor *scores = &context->tensors[node->outputs->data[0]];
  const uint8_t *pixels = image->data;
  uint8_t *out = scores->data;
  size_t channels = scores->bytes, count = image->bytes / channels;
  _Bool wrong = inferences++ >= number("STUB_WRONG_AFTER", 1L << 30);
  for (size_t c = 0; c < channels; c++) {
    size_t sum = 0;
    for (size_t k = 0; k < count; k++) sum += pixels[k * channels + c];
    out[wrong ? channels - 1 - c : c] = (uint8_t)((sum + count / 2) / count);
  }
  return OK;
}

static Status claim(Context *context, Delegate *delegate) {
  IntArray *plan;
  if (context->execution_plan(context, &plan) != OK) return FAILED;
  IntArray *ours = calloc(1, sizeof(int) * (size_t)(plan->size + 1));
  for (int k = 0; k < plan->size; k++) {
    Node *node;
    Registration *registration;
    if (context->node(context, plan->data[k], &node, &registration) != OK) return FAILED;
    const char *name = registration->custom_name;
    if (name && strcmp(name, "edgetpu-custom-op") == 0) ours->data[ours->size++] = plan->data[k];
  }
  Status status = OK;
  if (ours->size && !number("STUB_IDLE", 0)) {
    Registration kernel;
    memset(&kernel, 0, sizeof kernel);
    kernel.prepare = prepare_nothing;
    kernel.invoke = mean_of_colours;
    kernel.builtin_code = 51; /* DELEGATE */
    kernel.custom_name = "StubEdgeTpu";
    kernel.version = 1;
    status = context->replace(context, kernel, ours, delegate);
  }
  free(ours);
  return status;
}

Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count,
                                        void (*report)(const char *)) {
  (void)keys;
  (void)values;
  (void)count;
  if (number("STUB_NO_DEVICE", 0)) {
    report("no chip on this bus");
    return NULL;
  }
  Delegate *delegate = calloc(1, sizeof *delegate);
  delegate->prepare = claim;
  delegate->flags = 1; /* tensors of any size */
  inferences = 0;
  return delegate;
}

void tflite_plugin_destroy_delegate(Delegate *delegate) { free(delegate); }
