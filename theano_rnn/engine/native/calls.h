// What all custom calls need: memory, XLA's threads, and the operands of a call. Included once.

// Memory that is kept from call to call.
class Scratch {
 public:
  explicit Scratch(size_t floats) {
    std::lock_guard<std::mutex> lock(mutex());
    auto& free = unused();
    if (!free.empty()) block = free.back(), free.pop_back();
    if (block.size >= floats) return;
    std::free(block.data);
    block.data = static_cast<float*>(std::aligned_alloc(64, (floats * 4 + 63) / 64 * 64));
    block.size = block.data ? floats : 0;
  }
  ~Scratch() {
    std::lock_guard<std::mutex> lock(mutex());
    if (block.data) unused().push_back(block);
  }
  float* data() const { return block.data; }

 private:
  struct Block { float* data = nullptr; size_t size = 0; } block;
  static std::mutex& mutex() { static auto* m = new std::mutex; return *m; }
  static std::vector<Block>& unused() { static auto* v = new std::vector<Block>; return *v; }
};

// Tasks 0 to n - 1 in the calling thread and in XLA's, which take the next one whenever they are free.
struct Tasks {
  std::function<void(long)> run;
  long n;
  std::atomic<long> next{0}, done{0};
  std::mutex mutex;
  std::condition_variable all_done;

  void work() {
    const unsigned modes = _mm_getcsr();
    _mm_setcsr(modes | 0x8040);  // denormal numbers are zero in every thread, as in XLA's code
    for (long i; (i = next.fetch_add(1)) < n;) {
      run(i);
      if (done.fetch_add(1) + 1 == n) {
        std::lock_guard<std::mutex> lock(mutex);
        all_done.notify_all();
      }
    }
    _mm_setcsr(modes);
  }
};

static void in_parallel(const XLA_FFI_CallFrame* frame, long n, std::function<void(long)> run) {
  auto tasks = std::make_shared<Tasks>();
  tasks->run = std::move(run), tasks->n = n;
  for (long i = 1; i < n; i++) {
    auto* data = new std::shared_ptr<Tasks>(tasks);
    auto helper = [](void* data) {
      std::unique_ptr<std::shared_ptr<Tasks>> tasks(static_cast<std::shared_ptr<Tasks>*>(data));
      (*tasks)->work();
    };
    XLA_FFI_ThreadPool_Schedule_Args args = {sizeof args, nullptr, frame->ctx, helper, data};
    if (XLA_FFI_Error* error = frame->api->schedule(&args)) {  // no threads: this one does it all
      XLA_FFI_Error_Destroy_Args destroy = {sizeof destroy, nullptr, error};
      frame->api->error_destroy(&destroy);
      delete data;
      break;
    }
  }
  tasks->work();
  std::unique_lock<std::mutex> lock(tasks->mutex);
  tasks->all_done.wait(lock, [&] { return tasks->done.load() == n; });
}

static long num_threads(const XLA_FFI_CallFrame* frame) {
  int64_t count = 1;
  XLA_FFI_ThreadPool_NumThreads_Args args = {sizeof args, nullptr, frame->ctx, &count};
  if (XLA_FFI_Error* error = frame->api->num_threads(&args)) {
    XLA_FFI_Error_Destroy_Args destroy = {sizeof destroy, nullptr, error};
    frame->api->error_destroy(&destroy);
    return 1;
  }
  return count < 1 ? 1 : count;
}

// An integer that a call was given by name; 0 if it has none of that name.
static int64_t attribute(const XLA_FFI_CallFrame* frame, const char* name) {
  for (int64_t i = 0; i < frame->attrs.size; i++) {
    auto* found = static_cast<XLA_FFI_ByteSpan*>(frame->attrs.names[i]);
    if (found->size == std::strlen(name) && !std::memcmp(found->data, name, found->size))
      return *static_cast<int64_t*>(static_cast<XLA_FFI_Scalar*>(frame->attrs.attrs[i])->value);
  }
  return 0;
}

struct Operands {
  const XLA_FFI_Buffers& all;
  int64_t i = 0;
  bool ok = true;

  const XLA_FFI_Buffer* next(int dtype) {
    if (i >= all.size) { ok = false; return nullptr; }
    auto* buffer = static_cast<const XLA_FFI_Buffer*>(all.buffers[i++]);
    if (buffer->dtype != dtype) ok = false;
    return buffer;
  }
  void* of(int dtype, std::vector<long> shape, bool optional) {
    const XLA_FFI_Buffer* buffer = next(dtype);
    if (!ok) return nullptr;
    if (optional && buffer->rank == 1 && buffer->dims[0] == 0) return nullptr;
    ok = buffer->rank == static_cast<int64_t>(shape.size());
    for (size_t d = 0; ok && d < shape.size(); d++) ok = buffer->dims[d] == shape[d];
    return buffer->data;
  }
  float* operator()(std::vector<long> shape, bool optional = false) {
    return static_cast<float*>(of(FFI_FLOAT32, std::move(shape), optional));
  }
  int32_t* ints(std::vector<long> shape) { return static_cast<int32_t*>(of(FFI_INT32, std::move(shape), false)); }
};

static XLA_FFI_Error* failure(const XLA_FFI_CallFrame* frame, const char* message) {
  XLA_FFI_Error_Create_Args args = {sizeof args, nullptr, message, FFI_INVALID_ARGUMENT};
  return frame->api->error_create(&args);
}

// Whether the call is a question for the metadata, which it answers.
static bool is_question(const XLA_FFI_CallFrame* frame) {
  if (!frame->extension_start || frame->extension_start->type != FFI_METADATA) return false;
  auto* data = reinterpret_cast<XLA_FFI_Metadata_Extension*>(frame->extension_start)->metadata;
  data->api_version.major_version = 0, data->api_version.minor_version = 1;
  data->traits = 0;
  if (data->struct_size >= sizeof *data) data->state_type_id = 0;
  return true;
}
