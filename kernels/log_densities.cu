// Points under Gaussians that `gaussian_fit` made (Eq. 3 in the log domain).
//
//   z = y - mean;  distance = max(0, sum_k z_k^2 inverse_k - |V z|^2);  out = -(constant + distance) / 2
//
// A block a fit and 16 of its points; 16 rows of V at a time. Fit f takes the points first .. last and writes from
// out_at on. In double, as the fit.

constexpr int SIDE = 16, DEPTH = 64;

extern "C" __global__ void log_densities(const double* points, const long long* first, const long long* last,
                                         const long long* out_at, const double* mean, const double* inverse,
                                         const double* basis, const long long* basis_at, const double* constant, int d,
                                         double* out) {
    __shared__ double z[SIDE][DEPTH + 1], v[SIDE][DEPTH + 1], sums[SIDE][SIDE + 1];
    long long fit = blockIdx.x, point = first[fit] + (long long)blockIdx.y * SIDE, stop = last[fit];
    if (point >= stop) return;
    int r = threadIdx.x / SIDE, c = threadIdx.x % SIDE, rows = (int)(basis_at[fit + 1] - basis_at[fit]);
    const double *m = mean + fit * d, *inv = inverse + fit * d, *rows_of_v = basis + basis_at[fit] * d;
    double sum = 0.0;  // of point r: the columns that are c of 16
    if (point + r < stop)
        for (int k = c; k < d; k += SIDE) {
            double one = points[(point + r) * d + k] - m[k];
            sum += one * one * inv[k];
        }
    double along = 0.0;  // of point r: the rows of V that are c of 16
    for (int row = 0; row < rows; row += SIDE) {
        double dot = 0.0;
        for (int k = 0; k < d; k += DEPTH) {
            for (int q = c; q < DEPTH; q += SIDE) {
                z[r][q] = point + r < stop && k + q < d ? points[(point + r) * d + k + q] - m[k + q] : 0.0;
                v[r][q] = row + r < rows && k + q < d ? rows_of_v[(long long)(row + r) * d + k + q] : 0.0;
            }
            __syncthreads();
            for (int q = 0; q < DEPTH; ++q) dot += z[r][q] * v[c][q];
            __syncthreads();
        }
        along += dot * dot;
    }
    sums[r][c] = sum - along;
    __syncthreads();
    if (c == 0 && point + r < stop) {
        double distance = 0.0;
        for (int q = 0; q < SIDE; ++q) distance += sums[r][q];
        out[out_at[fit] + (point + r - first[fit])] = -0.5 * (constant[fit] + fmax(distance, 0.0));
    }
}
