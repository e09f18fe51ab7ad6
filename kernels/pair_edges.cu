// All pairs of tracks that are near enough (Algorithm 1, stage 3.3): the matrix is made in tiles, only edges leave one.
//
//   S(a, b) = -(p_a . l_b + l_a . p_b) / 2     one product of [p | l] with [l | p], 2 k long
//   edge    = S < T - tie |T|,  T = the greater, smaller or mean of two thresholds, of one where the other is NaN
//
// A block a tile of 128 x 128, named by `tiles`; 256 threads with 8 x 8 sums each; slices of 16 columns pass through
// shared memory. Rows are read through `order`. k is a multiple of 4. `count` goes on counting beyond `capacity`, so that
// the launcher knows to ask for fewer tiles at a time.

constexpr int TILE = 128, DEPTH = 16, PADDED = TILE + 4;
enum Rule { OR = 0, AND = 1, MEAN = 2 };

__device__ inline double limit(double a, double b, int rule) {
    bool no_a = a != a, no_b = b != b;
    if (no_a || no_b) return no_a ? b : a;
    return rule == OR ? fmax(a, b) : rule == AND ? fmin(a, b) : (a + b) / 2;
}

// 128 rows, 16 columns from `column` on, into slice[column][row]; zeros where there are none.
__device__ inline void load(const float* __restrict__ rows, const int* order, int n, int k, int tile, int column,
                            float (&slice)[DEPTH][PADDED]) {
    int row = threadIdx.x / 2, half = threadIdx.x % 2 * 8, at = tile * TILE + row;
    for (int part = half; part < half + 8; part += 4) {
        float4 four = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        if (at < n && column + part < k) four = *(const float4*)(rows + (long long)order[at] * k + column + part);
        slice[part][row] = four.x, slice[part + 1][row] = four.y;
        slice[part + 2][row] = four.z, slice[part + 3][row] = four.w;
    }
}

extern "C" __global__ void __launch_bounds__(256)
    pair_edges(const float* __restrict__ p, const float* __restrict__ l, const double* thresholds, const int* order,
               const int* tiles, int n, int k, int rule, double tie, int capacity, int* count, int* a, int* b,
               float* similarity) {
    __shared__ float left[DEPTH][PADDED], right[DEPTH][PADDED];
    int row_tile = tiles[blockIdx.x * 2], column_tile = tiles[blockIdx.x * 2 + 1];
    // Each thread has rows y .. y + 3 and y + 64 .. y + 67, and columns likewise: neighbours read neighbouring banks.
    int y = threadIdx.x / 16 * 4, x = threadIdx.x % 16 * 4;
    float sums[8][8] = {};
    for (int turn = 0; turn < 2; ++turn) {
        for (int column = 0; column < k; column += DEPTH) {
            load(turn ? l : p, order, n, k, row_tile, column, left);
            load(turn ? p : l, order, n, k, column_tile, column, right);
            __syncthreads();
#pragma unroll
            for (int d = 0; d < DEPTH; ++d) {
                float u[8], v[8];
#pragma unroll
                for (int i = 0; i < 8; ++i) {
                    u[i] = left[d][y + i % 4 + i / 4 * 64];
                    v[i] = right[d][x + i % 4 + i / 4 * 64];
                }
#pragma unroll
                for (int i = 0; i < 8; ++i)
#pragma unroll
                    for (int j = 0; j < 8; ++j) sums[i][j] += u[i] * v[j];
            }
            __syncthreads();
        }
    }
#pragma unroll
    for (int i = 0; i < 8; ++i)
#pragma unroll
        for (int j = 0; j < 8; ++j) {
            int one = row_tile * TILE + y + i % 4 + i / 4 * 64, other = column_tile * TILE + x + j % 4 + j / 4 * 64;
            if (one >= other || other >= n) continue;
            float s = -0.5f * sums[i][j];
            double t = limit(thresholds[order[one]], thresholds[order[other]], rule);
            if (!(s < t - tie * fabs(t))) continue;
            int place = atomicAdd(count, 1);
            if (place >= capacity) continue;
            a[place] = min(order[one], order[other]), b[place] = max(order[one], order[other]);
            similarity[place] = s;
        }
}
