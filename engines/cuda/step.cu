// One step of the sampling loop: guidance, the solver's row, blending with the noised canvas, in one launch.
//
// The arithmetic is that of runtime/diffusion/sampler.py, operation by operation in float32, so that host and device
// give the same picture. Everything that changes from step to step lies in memory: the table's rows, the masks, the
// noise, and the counter that says which row is next. One captured launch therefore serves every step of every picture
// of a shape. The last block to finish moves the counter on and writes the next time step for the network.
//
// nvcc must not contract a multiplication and an addition into one rounding (--fmad=false; on the host
// -ffp-contract=off). Built by scripts/cubins; compiled as C++ it is the same loop for the processor, which the tests
// compare with NumPy.

#ifdef __CUDACC__
#define BOTH __host__ __device__ __forceinline__
#else
#define BOTH inline
#endif

enum Prediction { EPSILON = 0, SAMPLE = 1, V_PREDICTION = 2 };

// One row of the step table (runtime/diffusion/table.py, Row), rounded to float32. 72 bytes.
struct Row {
  float guidance;
  float signal, noise;          // x_t = signal x_0 + noise eps
  float clean, direction;       // weights of x_0 and eps after the step
  float earlier, before;        // weights of the estimates of the step before, and of the one before that
  float sigma;                  // of fresh noise
  float known_signal, known_noise;
  float forecast, forecast_before;  // weights of the last two estimates that the network gave
  int answers;                  // of the network: 2, 1 (with the prompt), or 0: the prediction is forecast
  int prediction;               // enum Prediction
  int blend;                    // 0 or 1
  long long timestep;
};

// Addresses and sizes of a loop; every address is memory of the device. Null where a loop has no such thing.
struct Loop {
  const Row* rows;              // [steps]
  unsigned* state;              // [2]: steps done, blocks that have finished this one
  float* x_t;                   // [batch, values], before and after the step
  const float* prediction;      // [batch, values]; of two answers [2 batch, values]: without the prompt, then with it
  float* sample;                // the network's input: every copy of x_t, at the start of its row of sample_stride
  long long* timestep;          // [copies x batch], the network's input
  float* x_0;                   // [batch, values], the clean estimate; before the step, the one before
  float* x_0_before;            // [batch, values], the estimate before x_0; null where no row reads it
  float* told;                  // [batch, values], the last estimate that the network gave; null where nothing is forecast
  float* told_before;           // [batch, values], the one before; null where no row reads it
  const float* noise;           // [batch, 1 + steps, values]: x_T, then the fresh noise of every step; null without any
  const float* x_c;             // [batch, values], latents of the canvas; null where nothing is known
  const float* eps_0;           // [batch, values]
  const unsigned char* kept;    // [batch, steps, cells], 1 where the canvas is kept after the step
  long long steps, batch, values, cells;
  long long copies;             // 2 with guidance, else 1
  long long sample_stride;      // values of one row of sample: more than `values` where other channels follow
};

// The clean estimate and the noise that a prediction stands for.
BOTH void to_x0_eps(const Row& row, float x_t, float p, float* x_0, float* eps) {
  if (row.prediction == EPSILON) {
    *x_0 = (x_t - row.noise * p) / row.signal;
    *eps = p;
  } else if (row.prediction == SAMPLE) {
    *x_0 = p;
    *eps = (x_t - row.signal * p) / row.noise;
  } else {
    *x_0 = row.signal * x_t - row.noise * p;
    *eps = row.signal * p + row.noise * x_t;
  }
}

// Value i of picture b in step s (0 is the first).
BOTH void step_value(const Loop& loop, const Row& row, long long s, unsigned b, unsigned i) {
  const long long at = loop.values * b + i;
  float p;
  if (row.answers == 0) {
    p = row.forecast * loop.told[at];
    if (row.forecast_before != 0) p = p + row.forecast_before * loop.told_before[at];
  } else {
    p = loop.prediction[at];
    if (row.answers == 2) p = p + row.guidance * (loop.prediction[loop.batch * loop.values + at] - p);
  }
  float x_0, eps;
  to_x0_eps(row, loop.x_t[at], p, &x_0, &eps);
  float x = row.clean * x_0 + row.direction * eps;
  // A weight of 0 reads nothing: in the first steps there are no earlier estimates yet.
  if (row.earlier != 0) x = x + row.earlier * loop.x_0[at];
  if (row.before != 0) x = x + row.before * loop.x_0_before[at];
  if (row.sigma > 0) x = x + row.sigma * loop.noise[((1 + loop.steps) * b + 1 + s) * loop.values + i];
  if (row.blend && loop.x_c && loop.kept[(loop.steps * b + s) * loop.cells + i % (unsigned)loop.cells])
    x = row.known_signal * loop.x_c[at] + row.known_noise * loop.eps_0[at];
  if (loop.x_0_before) loop.x_0_before[at] = loop.x_0[at];
  loop.x_0[at] = x_0;
  if (loop.told && row.answers) {
    if (loop.told_before) loop.told_before[at] = loop.told[at];
    loop.told[at] = x_0;
  }
  loop.x_t[at] = x;
  for (long long copy = 0; copy < loop.copies; ++copy)
    loop.sample[(copy * loop.batch + b) * loop.sample_stride + i] = x;
}

BOTH void finish_step(const Loop& loop, long long s) {
  loop.state[0] = (unsigned)(s + 1);
  if (s + 1 < loop.steps)
#pragma unroll 1
    for (long long row = 0; row < loop.copies * loop.batch; ++row) loop.timestep[row] = loop.rows[s + 1].timestep;
}

#ifdef __CUDACC__

// The grid's second axis is the batch; threads stride over the values of one picture.
extern "C" __global__ void __launch_bounds__(256) step(const Loop* in) {
  const Loop loop = *in;
  const long long s = loop.state[0];
  if (s >= loop.steps) return;  // a launch too many changes nothing
  const Row row = loop.rows[s];
#pragma unroll 1
  for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < loop.values; i += gridDim.x * blockDim.x)
    step_value(loop, row, s, blockIdx.y, i);
  // Every thread of a block has read the counter before the block is counted, so the last block may move it.
  __syncthreads();
  const unsigned blocks = gridDim.x * gridDim.y;
  if (threadIdx.x == 0 && atomicInc(&loop.state[1], blocks - 1) == blocks - 1) finish_step(loop, s);
}

#else

extern "C" void step(const Loop* in) {
  const Loop& loop = *in;
  const long long s = loop.state[0];
  if (s >= loop.steps) return;
  for (unsigned b = 0; b < loop.batch; ++b)
    for (unsigned i = 0; i < loop.values; ++i) step_value(loop, loop.rows[s], s, b, i);
  finish_step(loop, s);
}

#endif
